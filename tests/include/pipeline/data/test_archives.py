"""Archives: read in place, and refused when somebody made them to do harm."""

from __future__ import annotations

import io
import os
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from include.pipeline.data.archives import (
    READ_AHEAD_BYTES,
    FolderMembers,
    Limits,
    ReadAhead,
    TarMembers,
    ZipMembers,
)
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.layout import find_layout

FILES = {"train/a/1.jpg": b"one", "train/a/2.jpg": b"two", "train/b/3.jpg": b"three"}


def zip_of(path: Path, fill: Callable[[zipfile.ZipFile], object]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    return path


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_gives_its_files_however_it_is_compressed(tmp_path: Path, mode: str) -> None:
    folder = tarfile.TarInfo("train/c")
    folder.type = tarfile.DIRTYPE
    entries = [(tarfile.TarInfo(f"./{name}"), content) for name, content in FILES.items()]
    members = TarMembers(tar_of(tmp_path / "a.tar", (folder, b""), *entries, mode=mode), Limits())
    assert members.files() == {name: len(content) for name, content in FILES.items()}
    assert members.folders() == ["train/c"]
    assert dict(members.read(list(FILES)[1:])) == dict(list(FILES.items())[1:])
    assert dict(members.read(FILES)) == FILES  # a second time


def test_a_zip_gives_its_files(tmp_path: Path) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        archive.mkdir("train/c")
        for name, content in FILES.items():
            archive.writestr(name, content)

    with zipfile.ZipFile(zip_of(tmp_path / "a.zip", fill)) as archive:
        members = ZipMembers(archive, Limits())
        assert members.files() == {name: len(content) for name, content in FILES.items()}
        assert members.folders() == ["train/c"]
        assert dict(members.read(reversed(FILES))) == FILES  # type: ignore[arg-type]


def test_reading_ahead_gives_what_a_plain_file_gives(tmp_path: Path) -> None:
    chance, size = random.Random(0), 3 * READ_AHEAD_BYTES + 17
    path = tmp_path / "file"
    path.write_bytes(chance.randbytes(size))
    with path.open("rb") as plain, ReadAhead(path) as ahead:
        for _ in range(500):
            if chance.random() < 0.3:
                origin = chance.choice([os.SEEK_SET, os.SEEK_END])
                offset = chance.randrange(size) * (-1 if origin == os.SEEK_END else 1)
                assert ahead.seek(offset, origin) == plain.seek(offset, origin)
            length = chance.choice([0, 30, 22_000, READ_AHEAD_BYTES, 2 * READ_AHEAD_BYTES, -1])
            assert ahead.read(length) == plain.read(length)
            assert ahead.tell() == plain.tell()
    assert ahead.closed


def test_a_folder_gives_its_files(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    members = FolderMembers(tmp_path, Limits())
    assert members.files() == {name: len(content) for name, content in FILES.items()}
    assert set(members.folders()) == {"train", "train/a", "train/b"}
    assert dict(members.read(FILES)) == FILES


@pytest.mark.parametrize("target", ["/etc", "/etc/hostname"])
def test_a_link_that_leads_out_of_a_folder_is_refused(tmp_path: Path, target: str) -> None:
    os.symlink(target, tmp_path / "link.jpg")
    with pytest.raises(DatasetError, match="link that leads elsewhere"):
        FolderMembers(tmp_path, Limits())


def symlink_entry(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("train/a/link.jpg")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("a.jpg", b"1")
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.jpg", b"2")


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        pytest.param(lambda a: a.writestr("../evil.jpg", b"x"), "leads outside", id="parent folder"),
        pytest.param(lambda a: a.writestr("/etc/evil.jpg", b"x"), "leads outside", id="absolute"),
        pytest.param(lambda a: a.writestr("a\\..\\..\\evil.jpg", b"x"), "leads outside", id="backslashes"),
        pytest.param(lambda a: a.writestr("C:/evil.jpg", b"x"), "leads outside", id="drive"),
        pytest.param(symlink_entry, "link or a device", id="symbolic link"),
        pytest.param(twice, "twice", id="the same path twice"),
        pytest.param(lambda a: a.writestr("bomb.jpg", bytes(50_000_000)), "200 times as large", id="bomb"),
    ],
)
def test_a_hostile_zip_is_refused(
    tmp_path: Path, fill: Callable[[zipfile.ZipFile], None], message: str
) -> None:
    with (
        zipfile.ZipFile(zip_of(tmp_path / "a.zip", fill)) as archive,
        pytest.raises(DatasetError, match=message),
    ):
        ZipMembers(archive, Limits())


def test_zip_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = zip_of(
        tmp_path / "a.zip", lambda a: (a.writestr("1.jpg", b"x" * 99), a.writestr("2.jpg", b"y" * 99))
    )
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()
        second.header_offset = first.header_offset
        with pytest.raises(DatasetError, match="overlaps"):
            ZipMembers(archive, Limits())


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(zip_of(tmp_path / "a.zip", lambda a: a.writestr("1.jpg", b"x"))) as archive:
        archive.infolist()[0].flag_bits |= 1
        with pytest.raises(DatasetError, match="encrypted"):
            ZipMembers(archive, Limits())


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


@pytest.mark.parametrize(
    ("member", "message"),
    [
        pytest.param((tarfile.TarInfo("../evil.jpg"), b"x"), "leads outside", id="parent folder"),
        pytest.param((tarfile.TarInfo("/etc/evil.jpg"), b"x"), "leads outside", id="absolute"),
        pytest.param(
            special("a.jpg", tarfile.SYMTYPE, "/etc/passwd"), "link or a device", id="symbolic link"
        ),
        pytest.param(special("a.jpg", tarfile.LNKTYPE, "/etc/passwd"), "link or a device", id="hard link"),
        pytest.param(special("a.jpg", tarfile.CHRTYPE), "link or a device", id="device"),
        pytest.param(special("a.jpg", tarfile.FIFOTYPE), "link or a device", id="pipe"),
        pytest.param((tarfile.TarInfo("a.jpg"), bytes(50_000_000)), "200 times as large", id="bomb"),
    ],
)
def test_a_hostile_tar_is_refused(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        TarMembers(tar_of(tmp_path / "a.tar", member, mode="w:gz"), Limits())


def test_a_damaged_tar_is_said_to_be_so(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar.gz", (tarfile.TarInfo("a.jpg"), os.urandom(100_000)), mode="w:gz")
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DatasetError, match="damaged"):
        TarMembers(path, Limits())


def test_a_damaged_zip_member_is_named(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", lambda a: a.writestr("a.jpg", os.urandom(1000)))
    content = bytearray(path.read_bytes())
    content[500] ^= 0xFF
    path.write_bytes(content)
    with (
        zipfile.ZipFile(path) as archive,
        pytest.raises(DatasetError, match=r"a\.jpg in the archive is damaged"),
    ):
        list(ZipMembers(archive, Limits()).read(["a.jpg"]))


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", lambda a: a.writestr("a.jpg", b"1"))
    with zipfile.ZipFile(path) as archive:
        archive.infolist()[0].filename = ""
        with pytest.raises(DatasetError, match="'' is not a name"):
            ZipMembers(archive, Limits())


def test_counts_and_sizes_are_limited(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", lambda a: [a.writestr(f"{n}.jpg", b"123") for n in range(3)])
    with zipfile.ZipFile(path) as archive:
        with pytest.raises(DatasetError, match="more than 2 files"):
            ZipMembers(archive, Limits(max_files=2))
        with pytest.raises(DatasetError, match="content has more than"):
            ZipMembers(archive, Limits(max_total_bytes=8))
        with pytest.raises(DatasetError, match="an image may have at most 2"):
            list(ZipMembers(archive, Limits(max_file_bytes=2)).read(["0.jpg"]))


@pytest.mark.slow
def test_a_zip_of_more_files_than_a_plain_one_counts_is_read(tmp_path: Path) -> None:
    names = [f"photos/train/{n % 10}/{n}.jpg" for n in range(66_000)]
    path = zip_of(tmp_path / "a.zip", lambda a: [a.writestr(name, name) for name in names])
    members = ZipMembers(zipfile.ZipFile(path), Limits())
    layout = find_layout(members.files(), members.folders())
    assert len(layout.places) == 66_000
    last = [layout.places["train/9/65999.jpg"], layout.places["train/0/10.jpg"]]
    assert dict(members.read(last)) == {name: name.encode() for name in last}
