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
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from include.classifier.image_classifier.image_files import is_litter
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.member_names import meant_names, undecoded
from include.pipeline.data.s3_members import CopySource

ZIP_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
READ_AHEAD_BYTES = 1 << 20
UTF_8_FLAG = 0x800
UNICODE_NAME = 0x7075
# Who wrote an entry: FAT, HPFS, NTFS, VFAT.
WINDOWS = {0, 6, 10, 14}
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


class _ListedMembers:
    """Members that were listed when they were opened, and that S3 can't copy."""

    _files: Mapping[str, int]
    _folders: list[str]

    def files(self) -> Mapping[str, int]:
        return self._files

    def folders(self) -> list[str]:
        return self._folders

    def copy_source(self, path: str) -> CopySource | None:
        return None


class FolderMembers(_ListedMembers):
    """A folder on this machine; see :class:`include.pipeline.data.sources.Members`."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        folder_names: list[str] = []
        names: list[str] = []
        sizes: list[int] = []
        for folder, folders, files in os.walk(root, onerror=_raise_unreadable):
            for name in sorted([*folders, *files]):
                path = Path(folder, name)
                if is_litter(path.relative_to(root).as_posix()):
                    continue
                if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root.resolve())):
                    raise DatasetError(
                        f"{path} is a link that leads elsewhere. Put the images themselves there."
                    )
            folder_names += [Path(folder, name).relative_to(root).as_posix() for name in sorted(folders)]
            for name in sorted(files):
                path = Path(folder, name)
                names.append(path.relative_to(root).as_posix())
                if is_litter(names[-1]):
                    sizes.append(0)  # counted, never read
                    continue
                if not path.is_file():
                    raise DatasetError(f"{path} is {kind_of(path)}, which is not read. Remove it.")
                sizes.append(path.stat().st_size)
        meant, self._written, self.notes = _read_names([*names, *folder_names], is_archive=False)
        self._files = dict(zip(meant[: len(names)], sizes, strict=True))
        self._folders = meant[len(names) :]

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            _check_member_size(path, self._files[path], self._limits)
            try:
                with (self._root / self._written.get(path, path)).open("rb") as file:
                    content = file.read(self._limits.max_file_bytes + 1)
            except OSError as error:
                raise unreadable(self._root / path, error) from error
            _check_member_size(path, len(content), self._limits)  # it may have grown since
            yield path, content


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


class ZipMembers(_ListedMembers):
    """A zip archive: nothing is unpacked to disk."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        raw = {}
        for position, entry in enumerate(entries):
            if not entry.flag_bits & UTF_8_FLAG and not entry.filename.isascii():
                raw[position] = entry.filename.encode("cp437")
                if named := _unicode_name(entry.extra, raw[position]):
                    names[position] = named
                    del raw[position]
        from_windows = any(entry.create_system in WINDOWS for entry in entries)
        meant, _, self.notes = _read_names(names, raw, from_windows)
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
        # Of each entry only what it takes to read it: a ZipInfo has 700 bytes.
        self._sizes = array("Q", (entry.file_size for entry in entries))
        self._offsets = array("Q", (entry.header_offset for entry in entries))
        self._packed_sizes = array("Q", (entry.compress_size for entry in entries))
        self._checksums = array("L", (entry.CRC for entry in entries))
        self._methods = array("H", (entry.compress_type for entry in entries))
        self._flags = array("H", (entry.flag_bits for entry in entries))
        self._written = {
            position: entry.filename
            for position, (entry, path) in enumerate(zip(entries, meant, strict=True))
            if entry.filename != path
        }
        self._folders = [path.rstrip("/") for path in meant if path.endswith("/")]
        self._positions = {path: position for position, path in enumerate(meant) if not path.endswith("/")}
        self._files = _Sizes(self._positions, self._sizes)
        archive.filelist.clear()
        archive.NameToInfo.clear()

    def _entry(self, path: str) -> zipfile.ZipInfo:
        position = self._positions[path]
        entry = zipfile.ZipInfo(self._written.get(position, path))
        entry.header_offset, entry.file_size = self._offsets[position], self._sizes[position]
        entry.compress_size, entry.CRC = self._packed_sizes[position], self._checksums[position]
        entry.compress_type, entry.flag_bits = self._methods[position], self._flags[position]
        return entry

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in sorted(paths, key=lambda path: self._offsets[self._positions[path]]):
            entry = self._entry(path)
            _check_member_size(path, entry.file_size, self._limits)
            try:
                content = self._archive.read(entry)
            except DAMAGED as error:
                raise DatasetError(f"{path} in the archive is damaged: {error}") from error
            yield path, content


class _Sizes(Mapping[str, int]):
    """Sizes by path, of which nothing is copied."""

    def __init__(self, positions: dict[str, int], sizes: array[int]) -> None:
        self._positions, self._sizes = positions, sizes

    def __getitem__(self, path: str) -> int:
        return self._sizes[self._positions[path]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


class TarMembers(_ListedMembers):
    """A tar archive, compressed or not, read from its beginning to its end each time."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        names: dict[str, int] = {}
        folders: list[str] = []
        total, archive_bytes = 0, path.stat().st_size
        for member in self._pass_through():
            if member.issparse() or not (member.isfile() or member.isdir()):
                raise _not_a_file(member.name)
            total += member.size
            _check_amount(len(names), total, limits)
            _check_ratio(
                total, archive_bytes, limits
            )  # before the next header, so before all of it is inflated
            name = member.name.removeprefix("./")
            if member.isdir():
                folders.append(name)
            elif name in names:
                raise _twice(name)
            else:
                names[name] = member.size
        meant, self._written, self.notes = _read_names([*names, *folders])
        self._files = dict(zip(meant[: len(names)], names.values(), strict=True))
        self._folders = meant[len(names) :]

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        wanted = {self._written.get(path, path): path for path in paths}
        with tarfile.open(self._path, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                archive.members = []  # type: ignore[attr-defined]  # else it keeps each one it passed
                if name in wanted and member.isfile():
                    _check_member_size(name, member.size, self._limits)
                    file = archive.extractfile(member)
                    assert file is not None  # it is a regular file
                    yield wanted[name], file.read()

    def _pass_through(self) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(self._path, "r|*") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]
                    yield member
        except DAMAGED as error:
            raise DatasetError(f"The archive is damaged: {error}. Create it again.") from error


def _read_names(
    names: list[str],
    raw: Mapping[int, bytes] | None = None,
    from_windows: bool = False,
    is_archive: bool = True,
) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the names as they were meant, what is written in place of those that differ, and what to say of it.

    :raises DatasetError: if a path leads outside, is there twice, or can be read in two ways.
    """
    meant, notes = meant_names(names, raw or undecoded(names), from_windows)
    check_paths(meant, is_archive)
    written = {path: name for path, name in zip(meant, names, strict=True) if path != name}
    return meant, written, notes


def _unicode_name(extra: bytes, raw: bytes) -> str | None:
    """Return the name in Info-ZIP's extra field of an entry, if it is of the same name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_NAME and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack_from("<I", field, 1)
            if checksum == zlib.crc32(raw):
                return field[5:].decode("utf-8", "replace")
    return None


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


def check_paths(paths: Iterable[str], is_archive: bool = True) -> None:
    """See that each path is a name, none leads outside and none is there twice.

    :param is_archive: whether a path could be one that leads outside: those of a folder can't.

    :raises DatasetError: naming the first that does.
    """
    seen: set[str] = set()
    for path in paths:
        _check_name(path)
        outside = path.startswith(("/", "\\")) or ":" in path[:3] or "\0" in path
        if is_archive and (outside or ".." in PurePosixPath(path.replace("\\", "/")).parts):
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
    return DatasetError(
        f"The archive holds {path} twice, or in two spellings of its letters; which one is meant can't be told."
    )


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
