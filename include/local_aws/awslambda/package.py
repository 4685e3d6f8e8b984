"""Unpacks a function's zip file, after checking where each of its files would land."""

import io
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from include.local_aws.errors import AwsError

MAX_UNPACKED_BYTES = 262_144_000
"""AWS's limit for code and layers together."""


def unpack(code: bytes, folder: Path) -> None:
    """Write the files of a zip into ``folder``, which appears whole or not at all; one that exists is kept.

    :raises AwsError: InvalidZipFileException if it is no zip, too large, or has a path that leads elsewhere
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            _check(archive.infolist())
            archive.extractall(scratch)
        scratch.chmod(0o755)
        scratch.rename(folder)
    except zipfile.BadZipFile as error:
        raise _refused(f"it is not a zip file ({error})") from None
    except OSError:
        if not folder.is_dir():  # else another call unpacked the same code meanwhile
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check(entries: list[zipfile.ZipInfo]) -> None:
    size = sum(entry.file_size for entry in entries)
    if size > MAX_UNPACKED_BYTES:
        raise _refused(f"unpacked it has {size} bytes, and {MAX_UNPACKED_BYTES} are allowed")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            raise _refused(f"{entry.filename!r} would lead out of the function's folder")


def _refused(reason: str) -> AwsError:
    return AwsError(
        "InvalidZipFileException", f"Lambda could not unzip the deployment package: {reason}.", 502
    )
