"""Write .env (secrets) and .env.aws (the AWS to use) for docker-compose.yaml; existing files are kept.

It uses only the standard library, so that users of Docker need no Python environment.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

AWS = """\
# The AWS that the containers use. By default, this is local AWS, the service of the profile `local`.
# To use an AWS account, delete the following lines, and set credentials and a region (AWS_ACCESS_KEY_ID,
# AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_DEFAULT_REGION), or run on a machine with a role.
IMAGE_CLASSIFIER_TARGET=local
AWS_ENDPOINT_URL=http://local-aws:5566
AWS_ACCESS_KEY_ID=local
AWS_SECRET_ACCESS_KEY=local
AWS_DEFAULT_REGION=us-east-1
# In this network, the name of a bucket can't be part of a host name.
AWS_CONFIG_FILE=/opt/airflow/include/laptop/path_style.ini
AWS_EC2_METADATA_DISABLED=true
"""


def secret_settings() -> str:
    """Return new random secrets in the format of an env file."""
    values = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(12),
        "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
        "AIRFLOW_API_SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def write_new(path: Path, text: str) -> bool:
    """Write a file that only its owner can read; return False without a change if it exists."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        path.unlink()  # an incomplete file would be kept forever
        raise
    return True


def main(folder: Path = REPOSITORY) -> int:
    """Write the missing files; return the exit status."""
    for name, text in ((".env", secret_settings()), (".env.aws", AWS)):
        try:
            print(f"{'Wrote' if write_new(folder / name, text) else 'Kept'} {folder / name}")
        except OSError as error:
            print(
                f"{folder / name} can't be written: {error.strerror}. Make {folder} writable, with free disk space.",
                file=sys.stderr,
            )
            return 1
    print("Next: docker compose --profile local up --build")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY))
