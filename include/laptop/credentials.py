"""Generate the passwords and keys of a stack, and store them in files that only their owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

ADMIN = "admin"
VIEWER = "viewer"
# HS512, with which Airflow signs its tokens, requires a key of at least 64 bytes (RFC 7518, section 3.2).
JWT_SECRET_BYTES = 64


@dataclass(frozen=True)
class Keys:
    """The keys with which the components of Airflow sign and encrypt."""

    jwt_secret: str
    api_secret_key: str
    fernet_key: str

    @classmethod
    def generate(cls) -> Keys:
        """Return new random keys."""
        return cls(
            jwt_secret=secrets.token_urlsafe(JWT_SECRET_BYTES),
            api_secret_key=secrets.token_urlsafe(32),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 600 atomically; its folder must exist."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink()
        raise


def keys(path: Path) -> Keys:
    """Return the keys from `path`; the first call creates the file."""
    if not path.exists():
        write_private(path, json.dumps(asdict(Keys.generate()), indent=2))
    return Keys(**json.loads(path.read_text(encoding="utf-8")))


def passwords(path: Path) -> dict[str, str]:
    """Return Airflow's users and their passwords from `path`, in the format that Airflow reads."""
    if not path.exists():
        generated = {user: secrets.token_urlsafe(12) for user in (ADMIN, VIEWER)}
        write_private(path, json.dumps(generated, indent=2))
    return dict(json.loads(path.read_text(encoding="utf-8")))
