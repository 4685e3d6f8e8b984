"""Where a data set comes from: a zip, a tar or a folder, on this machine, on the web, or in S3."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import requests

from include.pipeline.dataset import DatasetError
from include.pipeline.drawings import DrawnMembers
from include.pipeline.names import split_s3_uri

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60
IGNORED_FOLDERS = {"__MACOSX"}


class Members(Protocol):
    """The files and folders of a source, by their relative path with forward slashes."""

    def files(self) -> list[str]: ...

    def folders(self) -> list[str]: ...

    def read(self, path: str) -> bytes: ...


class FolderMembers:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self) -> list[str]:
        return sorted(
            path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file()
        )

    def folders(self) -> list[str]:
        return sorted(
            path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_dir()
        )

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()


class ZipMembers:
    """A zip archive, read in place: nothing is unpacked."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def files(self) -> list[str]:
        return [name for name in self._archive.namelist() if not name.endswith("/")]

    def folders(self) -> list[str]:
        return [name.rstrip("/") for name in self._archive.namelist() if name.endswith("/")]

    def read(self, path: str) -> bytes:
        return self._archive.read(path)


class TarMembers:
    """A tar archive, compressed or not, read in place: nothing is unpacked."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._lock = threading.Lock()  # all members share one file position
        strange = next((m.name for m in archive.getmembers() if not (m.isfile() or m.isdir())), None)
        if strange:
            raise DatasetError(
                f"{strange} in the archive is a link or a device; only files and folders are allowed."
            )

    def files(self) -> list[str]:
        return [member.name for member in self._archive.getmembers() if member.isfile()]

    def folders(self) -> list[str]:
        return [member.name for member in self._archive.getmembers() if member.isdir()]

    def read(self, path: str) -> bytes:
        with self._lock:
            content = self._archive.extractfile(path)
            assert content is not None  # files() names regular files alone
            return content.read()


@contextmanager
def open_source(address: str, s3: Any, progress: Callable[[str], None] = print) -> Iterator[Members]:
    """Open a data set's source for reading.

    :param address: ``generated``, or the path, http(s):// or s3:// address of a zip or tar, or a folder's path.
    :param s3: a boto3 client, used for s3:// addresses.
    :param progress: is told how a download goes.
    :raises DatasetError: if the source does not answer, does not exist, or is neither zip, tar nor folder; also if
        a member's path leads outside.
    """
    if address == "generated":
        yield DrawnMembers()
        return
    with tempfile.TemporaryDirectory(prefix="dataset-") as scratch:
        path = _fetch(address, Path(scratch) / "archive", s3, progress)
        if path.is_dir():
            yield _checked(FolderMembers(path))
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _checked(ZipMembers(archive))
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                yield _checked(TarMembers(archive))
        else:
            raise DatasetError(f"{address.partition('?')[0]} is neither a zip, a tar nor a folder.")


def is_ignored(path: str) -> bool:
    """Whether a member is what operating systems leave behind, such as .DS_Store."""
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") or part in IGNORED_FOLDERS for part in parts)


def _checked(members: Members) -> Members:
    for path in [*members.files(), *members.folders()]:
        if (
            path.startswith(("/", "\\"))
            or ".." in PurePosixPath(path.replace("\\", "/")).parts
            or ":" in path[:3]
        ):
            raise DatasetError(
                f"The archive holds {path!r}, a path that leads outside of it; nothing was read from it."
            )
    return members


def _fetch(address: str, destination: Path, s3: Any, progress: Callable[[str], None]) -> Path:
    scheme = address.partition("://")[0] if "://" in address else "file"
    if scheme == "file":
        path = Path(os.path.expanduser(address.removeprefix("file://")))
        if not path.exists():
            raise DatasetError(f"There is no file or folder {path}.")
        return path
    if scheme in ("http", "https"):
        return _download(address, destination, progress)
    if scheme == "s3":
        bucket, key = split_s3_uri(address)
        try:
            s3.download_file(bucket, key, str(destination))
        except Exception as error:  # boto3 raises its own kinds for each cause; all mean the same to the user
            raise DatasetError(f"{address} can't be read: {error}") from error
        return destination
    raise DatasetError(f"{address} starts with {scheme}://; allowed: a path, http://, https:// or s3://.")


def _download(address: str, destination: Path, progress: Callable[[str], None]) -> Path:
    public = address.partition("?")[0]  # what follows the question mark may be a signature
    try:
        with requests.get(
            address,
            stream=True,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            headers={"Accept-Encoding": "identity"},  # so that Content-Length counts what is written
        ) as answer:
            answer.raise_for_status()
            total = int(answer.headers.get("Content-Length", 0))
            free = shutil.disk_usage(destination.parent).free
            if total > free:
                raise DatasetError(
                    f"{public} has {total / 1e9:.1f} GB; only {free / 1e9:.1f} GB are free on this machine."
                )
            received = reported = 0
            with destination.open("wb") as file:
                for chunk in answer.iter_content(1 << 20):
                    received += file.write(chunk)
                    if received - reported >= 50_000_000:
                        reported = received
                        progress(f"Downloaded {received / 1e6:,.0f} of {total / 1e6:,.0f} MB.")
    except requests.HTTPError as error:
        raise DatasetError(f"{public} answered with status {error.response.status_code}.") from None
    except requests.RequestException as error:
        # from None: the cause names the whole address, whose query may be a signature
        raise DatasetError(
            f"{public} can't be fetched ({type(error).__name__}). Is the address right?"
        ) from None
    if total and received != total:
        raise DatasetError(f"{public} was cut off after {received:,} of {total:,} bytes.")
    return destination
