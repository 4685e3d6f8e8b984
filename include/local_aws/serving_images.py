"""The images that local AWS has built: a folder each, below the server's state, named by the image's digest.

They stand for container images: a folder has the files of the build's source, and the packages are those of ``.venv``.
"""

import hashlib
import io
import os
import re
import tempfile
import zipfile
from pathlib import Path

from include.local_aws.config import ACCOUNT_ID, Config

SCRIPT = "serve.py"
"""What the container's command ``serve`` runs, in the source of the build."""

_URI = re.compile(
    rf"{ACCOUNT_ID}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/([^:@]+)(?::([^@]+)|@(sha256:[0-9a-f]{{64}}))"
)


class BuildError(Exception):
    """A source that no image can be made of; the message says why."""


class ImageMissing(Exception):
    """The repository has no such image, or local AWS has not built it."""


def build(config: Config, source: bytes) -> tuple[str, str]:
    """Make an image of a zip of source, and return its digest and the digest of the content that it names.

    :raises BuildError: it is no zip, or has not what an image needs
    """
    folder = config.state_dir / "images"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        files = Path(scratch, "files")
        try:
            with zipfile.ZipFile(io.BytesIO(source)) as archive:
                archive.extractall(files)
        except (zipfile.BadZipFile, OSError) as error:
            raise BuildError(f"The source can't be unpacked: {error}") from error
        missing = [name for name in ("Dockerfile", "content", SCRIPT) if not (files / name).is_file()]
        if missing:
            raise BuildError(f"The source has no {', '.join(missing)}.")
        content = (files / "content").read_text().strip()
        digest = _digest(files)
        target = folder / digest
        if not target.exists():
            os.replace(files, target)
    return f"sha256:{digest}", content


def resolve(config: Config, uri: str) -> str | None:
    """Return the URI of an image with its digest; None if it is in no repository that local AWS has.

    Such an image, of AWS or of a user, is only a name here.

    :raises ImageMissing: when the repository has no such image
    """
    matched = _URI.fullmatch(uri)
    if matched is None:
        return None
    repository, tag, digest = matched.groups()
    ecr = config.client("ecr")
    image = {"imageDigest": digest} if digest else {"imageTag": tag}
    try:
        found = ecr.batch_get_image(repositoryName=repository, imageIds=[image])["images"]
    except ecr.exceptions.RepositoryNotFoundException:
        return None
    if not found:
        raise ImageMissing(f"The image {uri} does not exist.")
    return f"{uri.partition('@')[0].removesuffix(f':{tag}')}@{found[0]['imageId']['imageDigest']}"


def script(config: Config, uri: str) -> Path:
    """Return the script that serves, of an image.

    :param uri: with a digest
    :raises ImageMissing: when local AWS has not built it: it runs no other images
    """
    path = config.state_dir / "images" / uri.rpartition("@sha256:")[2] / SCRIPT
    if not path.is_file():
        raise ImageMissing(
            f"Local AWS has not built the image {uri}, and runs no other images of this account."
        )
    return path


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n".encode()
        )
    return whole.hexdigest()
