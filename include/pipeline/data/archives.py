"""Reads the files of a folder, a zip or a tar in place, after seeing that nothing in it is hostile."""

from __future__ import annotations

import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from include.pipeline.data.dataset import DatasetError, is_ignored
from include.pipeline.data.s3_members import CopySource

ZIP_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
READ_AHEAD_BYTES = 1 << 20
# What zipfile, tarfile and the decompressors below them raise for content that is cut off or made up.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. Photos hardly shrink, so a high ratio means that somebody made a trap."""

    max_files: int = 1_000_000
    max_file_bytes: int = 64_000_000
    max_total_bytes: int = 1_000_000_000_000
    max_ratio: int = 200
    """Content against archive; below ``ratio_free_bytes`` of content it is not looked at."""
    ratio_free_bytes: int = 10_000_000


class FolderMembers:
    """A folder on this machine; see :class:`include.pipeline.data.sources.Members`."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._folders: list[str] = []
        self._files: dict[str, int] = {}
        for folder, folders, files in os.walk(root, onerror=_raise_unreadable):
            for name in sorted([*folders, *files]):
                path = Path(folder, name)
                if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root.resolve())):
                    raise DatasetError(
                        f"{path} is a link that leads elsewhere. Put the images themselves there."
                    )
            self._folders += [Path(folder, name).relative_to(root).as_posix() for name in sorted(folders)]
            for name in sorted(files):
                path = Path(folder, name)
                if is_ignored(path.relative_to(root).as_posix()):
                    continue
                _check_name(path.relative_to(root).as_posix())
                if not path.is_file():
                    raise DatasetError(f"{path} is {kind_of(path)}, which is not read. Remove it.")
                self._files[path.relative_to(root).as_posix()] = path.stat().st_size

    def files(self) -> dict[str, int]:
        return self._files

    def folders(self) -> list[str]:
        return self._folders

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            _check_member_size(path, self._files[path], self._limits)
            try:
                with (self._root / path).open("rb") as file:
                    content = file.read(self._limits.max_file_bytes + 1)
            except OSError as error:
                raise unreadable(self._root / path, error) from error
            _check_member_size(path, len(content), self._limits)  # it may have grown since
            yield path, content

    def copy_source(self, path: str) -> CopySource | None:
        return None


class ReadAhead(io.RawIOBase):
    """A file that is read in large blocks and knows its position itself.

    `zipfile` asks for the position three times for each member. Python's own files ask the system every time and
    let other threads go first, which costs a tenth of the speed of sending.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        self._position = self._start = 0
        self._block = b""

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = max(0, self._size - self._position)
        offset = self._position - self._start
        if not 0 <= offset <= offset + size <= len(self._block):
            self._start, offset = self._position, 0
            self._block = os.pread(self._file.fileno(), max(size, READ_AHEAD_BYTES), self._position)
        content = self._block[offset : offset + size]
        self._position += len(content)
        return content

    def close(self) -> None:
        self._file.close()
        super().close()


class ZipMembers:
    """A zip archive: nothing is unpacked to disk."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        entries = archive.infolist()
        check_paths(entry.filename for entry in entries)
        _check_amount(len(entries), sum(entry.file_size for entry in entries), limits)
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_a_file(entry.filename)
            if entry.flag_bits & 1:
                raise DatasetError(
                    f"{entry.filename} in the archive is encrypted. Zip the images without a password."
                )
            if entry.compress_type not in ZIP_COMPRESSIONS:
                raise DatasetError(
                    f"{entry.filename} in the archive is compressed in an unknown way. Use deflate."
                )
            if entry.header_offset < end:
                raise DatasetError(
                    f"{entry.filename} overlaps another file of the archive, so nothing was read from it."
                )
            end = entry.header_offset + entry.compress_size
            _check_ratio(entry.file_size, entry.compress_size, limits)
        self._entries = {entry.filename: entry for entry in entries}

    def files(self) -> dict[str, int]:
        return {name: entry.file_size for name, entry in self._entries.items() if not entry.is_dir()}

    def folders(self) -> list[str]:
        return [name.rstrip("/") for name, entry in self._entries.items() if entry.is_dir()]

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        wanted = [self._entries[path] for path in paths]
        for entry in sorted(wanted, key=lambda entry: entry.header_offset):
            _check_member_size(entry.filename, entry.file_size, self._limits)
            try:
                content = self._archive.read(entry)
            except DAMAGED as error:
                raise DatasetError(f"{entry.filename} in the archive is damaged: {error}") from error
            yield entry.filename, content

    def copy_source(self, path: str) -> CopySource | None:
        return None


class TarMembers:
    """A tar archive, compressed or not, read from its beginning to its end each time."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._files: dict[str, int] = {}
        self._folders: list[str] = []
        total, archive_bytes = 0, path.stat().st_size
        for member in self._pass_through():
            if member.issparse() or not (member.isfile() or member.isdir()):
                raise _not_a_file(member.name)
            total += member.size
            _check_amount(len(self._files), total, limits)
            _check_ratio(
                total, archive_bytes, limits
            )  # before the next header, so before all of it is inflated
            name = member.name.removeprefix("./")
            if member.isdir():
                self._folders.append(name)
            elif name in self._files:
                raise _twice(name)
            else:
                self._files[name] = member.size
        check_paths([*self._files, *self._folders])

    def files(self) -> dict[str, int]:
        return self._files

    def folders(self) -> list[str]:
        return self._folders

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        wanted = set(paths)
        with tarfile.open(self._path, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                archive.members = []  # type: ignore[attr-defined]  # else it keeps each one it passed
                if name in wanted and member.isfile():
                    _check_member_size(name, member.size, self._limits)
                    file = archive.extractfile(member)
                    assert file is not None  # it is a regular file
                    yield name, file.read()

    def copy_source(self, path: str) -> CopySource | None:
        return None

    def _pass_through(self) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(self._path, "r|*") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]
                    yield member
        except DAMAGED as error:
            raise DatasetError(f"The archive is damaged: {error}. Make it anew.") from error


def kind_of(path: Path) -> str:
    """What a path leads to that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a link that leads nowhere"
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def unreadable(path: str | Path, error: OSError) -> DatasetError:
    """The error for what the system does not let us read."""
    return DatasetError(f"{path} can't be read: {error.strerror}. Make it readable for the user of Airflow.")


def _raise_unreadable(error: OSError) -> None:
    raise unreadable(error.filename, error) from error


def check_paths(paths: Iterable[str]) -> None:
    """See that each path is a name, none leads outside and none is there twice.

    :raises DatasetError: naming the first that does.
    """
    seen: set[str] = set()
    for path in paths:
        _check_name(path)
        outside = path.startswith(("/", "\\")) or ":" in path[:3] or "\0" in path
        if outside or ".." in PurePosixPath(path.replace("\\", "/")).parts:
            raise DatasetError(
                f"The archive holds {path!r}, a path that leads outside of it; nothing was read from it."
            )
        if path in seen:
            raise _twice(path)
        seen.add(path)


def _check_name(path: str) -> None:
    # Python keeps bytes that are not UTF-8 as halves of characters, which neither S3 nor JSON takes.
    if not path or any("\ud800" <= letter <= "\udfff" for letter in path):
        raise DatasetError(f"{path!a} is not a name in UTF-8. Rename the file, and pack the archive again.")


def _twice(path: str) -> DatasetError:
    return DatasetError(f"The archive holds {path} twice; which one is meant can't be told.")


def _not_a_file(path: str) -> DatasetError:
    return DatasetError(f"{path} in the archive is a link or a device; only files and folders are allowed.")


def _check_amount(files: int, total: int, limits: Limits) -> None:
    if files > limits.max_files:
        raise DatasetError(f"The archive holds more than {limits.max_files:,} files.")
    if total > limits.max_total_bytes:
        raise DatasetError(f"The archive's content has more than {limits.max_total_bytes / 1e9:,.0f} GB.")


def _check_ratio(content: int, compressed: int, limits: Limits) -> None:
    if content > limits.ratio_free_bytes and content > limits.max_ratio * compressed:
        raise DatasetError(
            f"The archive's content is more than {limits.max_ratio} times as large as the archive. "
            "Images do not shrink like that, so nothing was read from it."
        )


def _check_member_size(path: str, size: int, limits: Limits) -> None:
    if size > limits.max_file_bytes:
        raise DatasetError(f"{path} has {size:,} bytes; an image may have at most {limits.max_file_bytes:,}.")
