"""Where a data set comes from: a zip, a tar or a folder, on this machine, on the web, or in S3."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import requests
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from include.pipeline.addresses import check_address
from include.pipeline.data import drawings
from include.pipeline.data.archives import (
    DAMAGED,
    FolderMembers,
    Limits,
    ReadAhead,
    TarMembers,
    ZipMembers,
    check_paths,
    kind_of,
    unreadable,
)
from include.pipeline.data.download import (
    CutError,
    answer_of,
    check_space,
    download,
    public_address,
    writing,
)
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.progress import Progress
from include.pipeline.data.s3_members import CopySource, S3Members, list_objects
from include.pipeline.names import split_s3_uri

# How files begin that people take for a zip or a tar, or that were one before they were cut off.
log = logging.getLogger(__name__)

OTHER_KINDS = {
    b"PK": "a zip that was cut off: its end is missing. Copy or download it again",
    b"\x1f\x8b": "compressed by gzip, but holds no tar, or was cut off. Pack the folder as a zip or a tar",
    b"BZh": "compressed by bzip2, but holds no tar, or was cut off. Pack the folder as a zip or a tar",
    b"\xfd7zXZ": "compressed by xz, but holds no tar, or was cut off. Pack the folder as a zip or a tar",
    b"\x28\xb5\x2f\xfd": "compressed by zstd, which is not read. Pack the folder as a zip or a tar",
    b"7z\xbc\xaf": "a 7-Zip archive, which is not read. Pack the folder as a zip or a tar",
    b"Rar!": "a RAR archive, which is not read. Pack the folder as a zip or a tar",
    b"\xff\xd8\xff": "a single JPEG. Give a zip, a tar or a folder with one folder of images per class",
    b"\x89PNG": "a single PNG. Give a zip, a tar or a folder with one folder of images per class",
}

__all__ = ["CopySource", "Limits", "Members", "identify", "open_source", "public_address"]


class Members(Protocol):
    """The files and folders of a source, by their relative path with forward slashes."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on names that were read otherwise than they are written."""

    def files(self) -> Mapping[str, int]:
        """Each file's size in bytes."""

    def folders(self) -> list[str]:
        """Folders that the source names, empty ones among them."""

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Path and content of these files, in the order in which they are read fastest, few of them at once."""

    def copy_source(self, path: str) -> CopySource | None:
        """Where S3 can copy the file from, if it lies there."""


@contextmanager
def open_source(
    address: str, s3: Any, progress: Callable[[str], None] = log.info, limits: Limits | None = None
) -> Iterator[Members]:
    """Open a data set's source for reading.

    :param address: ``generated``; the path, http(s):// or s3:// address of a zip or tar; a folder's path; or an
        s3:// prefix.
    :param s3: a boto3 client, used for s3:// addresses.
    :param progress: is told how a download goes.
    :raises DatasetError: if the source can't exist or does not, is refused, is neither zip, tar nor folder, or holds
        what no honest archive of images does.
    """
    limits = limits or Limits()
    scheme = address.partition("://")[0] if "://" in address else "file"
    if address == "generated":
        yield drawings.DrawnMembers()
        return
    try:
        check_address(address)
    except ValueError as error:
        shown = ascii(public_address(address) if scheme in ("http", "https") else address)
        raise DatasetError(f"dataset is {shown[:100]}; it {error}.") from None
    if scheme == "file":
        path = _local_path(address)
        if _is_folder(path):
            yield FolderMembers(path, limits)
        else:
            with _open_archive(path, address, limits) as members:
                yield members
    else:
        with ExitStack() as stack:
            below = None
            with writing(address):
                archive = (
                    Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dataset-"))) / "archive"
                )
                if scheme == "s3":
                    below = _fetch_from_s3(address, archive, s3, progress)
                else:
                    download(address, archive, progress)
            if below:
                check_paths(below.files())
                yield below
                return
            with _open_archive(archive, address, limits) as members:
                yield members


def identify(address: str, s3: Any) -> Any | None:
    """What tells, without reading it, whether a source has changed; None where nothing does."""
    scheme = address.partition("://")[0] if "://" in address else "file"
    try:
        if address == "generated":
            return ["generated", _hashed(Path(str(drawings.__file__)).read_text())]
        if scheme == "file":
            return ["file", *_identify_path(_local_path(address))]
        if scheme == "s3":
            return ["s3", address, _identify_objects(address, s3)]
        if scheme in ("http", "https"):
            return _identify_page(address)
    except (
        OSError,
        DatasetError,
        ValueError,
        requests.RequestException,
        CutError,
        BotoCoreError,
        ClientError,
    ):
        pass  # opening it will say what is wrong
    return None


@contextmanager
def _open_archive(path: Path, address: str, limits: Limits) -> Iterator[Members]:
    try:
        file = ReadAhead(path)
        archive = zipfile.ZipFile(file) if zipfile.is_zipfile(path) else None
    except DAMAGED as error:
        raise DatasetError(f"{public_address(address)} can't be read: {error}.") from error
    try:
        is_tar = not archive and tarfile.is_tarfile(path)
    except DAMAGED:
        is_tar = False
    with file:
        if archive:
            with archive:
                yield ZipMembers(archive, limits)
        elif is_tar:
            yield TarMembers(path, limits)
        else:
            raise DatasetError(f"{public_address(address)} {_what_else(path)}.")


def _what_else(path: Path) -> str:
    """Say what a file is that is neither a zip nor a tar, by how it begins."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "is empty: it has 0 bytes. Copy or download it again"
    for magic, kind in OTHER_KINDS.items():
        if start.startswith(magic):
            return f"is {kind}"
    if start.lstrip().startswith(b"<"):
        return "is an HTML or XML page, such as one to sign in. Give the address of the archive itself"
    return "is neither a zip, a tar nor a folder"


def _is_folder(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"There is no file or folder {path}.") from None
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise DatasetError(f"{path} is {kind_of(path)}. Give the path of a zip, a tar or a folder.")
    return stat.S_ISDIR(mode)


def _local_path(address: str) -> Path:
    return Path(os.path.expanduser(address.removeprefix("file://")))


def _fetch_from_s3(address: str, archive: Path, s3: Any, progress: Callable[[str], None]) -> S3Members | None:
    """Load an object to a file; or, if the address is a prefix, return what lies below."""
    bucket, key = split_s3_uri(address)
    try:
        if key and not key.endswith("/"):
            try:
                size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                    raise
            else:
                check_space(address, size, archive)
                told = Progress("Downloaded", None, size, progress)
                s3.download_file(bucket, key, str(archive), Callback=lambda count: told.advance(0, count))
                told.finish()
                return None
        below = S3Members(s3, bucket, f"{key.rstrip('/')}/" if key else "")
    except ParamValidationError as error:
        raise DatasetError(f"{address} can't be read: {error}") from error
    except ClientError as error:
        problem = error.response["Error"]
        if problem["Code"] in ("503", "SlowDown", "500", "InternalError"):
            raise
        raise DatasetError(
            f"{address} can't be read: {problem['Code']}: {problem.get('Message', '')}"
        ) from error
    if not below.files():
        raise DatasetError(f"{address} can't be read: there is no such object, and none below it.")
    return below


def _identify_path(path: Path) -> list[Any]:
    if path.is_dir():
        entries = sorted(
            (file.relative_to(path).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
            for file in path.rglob("*")
        )
        return [str(path.resolve()), _hashed(repr(entries))]
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino]


def _identify_objects(address: str, s3: Any) -> Any:
    bucket, key = split_s3_uri(address)
    if key and not key.endswith("/"):
        try:
            head = s3.head_object(Bucket=bucket, Key=key)
            return [head["ETag"], head["ContentLength"]]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                raise
    return _hashed(repr(sorted(list_objects(s3, bucket, f"{key.rstrip('/')}/" if key else "").items())))


def _identify_page(address: str) -> list[str] | None:
    with answer_of("HEAD", address, {}) as answer:
        etag, length = answer.headers.get("ETag", ""), answer.headers.get("Content-Length")
        version = answer.headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
        if answer.status_code != 200 or not version or not length:
            return None
        return ["web", _hashed(address), version, length]


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
