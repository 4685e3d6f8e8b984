"""Names are read as they were meant, or refused with their two readings."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from include.pipeline.data.archives import FolderMembers, Limits, TarMembers, ZipMembers
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.layout import find_layout
from include.pipeline.data.member_names import meant_names
from include.pipeline.data.s3_members import S3Members

DECOMPOSED, COMPOSED = (unicodedata.normalize(form, "Café") for form in ("NFD", "NFC"))


def zip_with(raw: list[bytes], system: int = 3, extra: bytes = b"", flags: int = 0) -> ZipMembers:
    """A zip whose names are these bytes, without the flag that says that they are UTF-8."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(raw):
            entry = zipfile.ZipInfo("x" * (len(name) - 3) + f"{number:03d}")
            entry.create_system, entry.extra = system, extra
            archive.writestr(entry, str(number))
    content = file.getvalue()
    for number, name in enumerate(raw):
        content = content.replace(b"x" * (len(name) - 3) + f"{number:03d}".encode(), name)
    return ZipMembers(zipfile.ZipFile(io.BytesIO(content)), Limits())


@pytest.mark.parametrize("system", [0, 3])
def test_backslashes_of_windows_are_folders(system: int) -> None:
    members = zip_with(
        [b"photos\\train\\cat\\a.jpg", b"photos\\train\\dog\\b.jpg", b"photos\\val\\cat\\c.jpg"], system
    )
    assert list(find_layout(members.files(), members.folders()).places) == [
        "train/cat/a.jpg",
        "train/dog/b.jpg",
        "valid/cat/c.jpg",
    ]
    assert dict(members.read(["photos/train/dog/b.jpg"])) == {"photos/train/dog/b.jpg": b"1"}
    assert members.notes == ["3 names have backslashes and are read as paths of folders."]


def test_a_backslash_in_the_name_of_a_file_stays() -> None:
    assert meant_names(["cat/a\\b.jpg"]) == (["cat/a\\b.jpg"], [])


@pytest.mark.parametrize(
    ("folders", "encoding"),
    [
        (["Café"], "cp1252"),
        (["Café", "Crêpe"], "cp437"),
        (["Müller", "Zürich"], "cp437"),
        (["Müller", "Zürich"], "cp1252"),
        (["été"], "cp1252"),
        (["ねこ", "いぬ"], "cp932"),
        (["кошка", "собака"], "cp866"),
        (["Café", "犬"], "utf-8"),
    ],
)
def test_names_without_their_encoding_are_read_where_only_one_makes_words(
    folders: list[str], encoding: str
) -> None:
    members = zip_with([f"{folder}/1é.jpg".encode(encoding, "replace") for folder in folders])
    assert {path.split("/")[0] for path in members.files()} == set(folders)
    assert [content for _, content in members.read(members.files())] == [b"0", b"1"][: len(folders)]
    assert members.notes == [
        f"{len(folders)} names have no known encoding and are read as {encoding}."
        if len(folders) > 1
        else f"1 name has no known encoding and is read as {encoding}."
    ]


def test_names_that_are_words_in_two_encodings_are_refused_with_both() -> None:
    with pytest.raises(DatasetError, match="a folder is îó in cp437, and 犬 in cp932"):
        zip_with(["犬/1.jpg".encode("cp932")])
    with pytest.raises(DatasetError, match=r"The folder a\\xb0 has a name in an unknown encoding"):
        zip_with([b"a\xb0/1.jpg"])


def test_names_of_files_alone_are_never_refused() -> None:
    assert len(zip_with([b"cat/\xff\xfe1.jpg", "cat/犬.jpg".encode("cp932")]).files()) == 2


def test_a_name_in_the_unicode_field_of_a_zip_counts() -> None:
    raw = b"Caf\x82/1.jpg"
    name = "Käse/1.jpg".encode()
    field = b"\x01" + struct.pack("<I", zlib.crc32(raw)) + name
    members = zip_with([raw], extra=struct.pack("<HH", 0x7075, len(field)) + field)
    assert list(members.files()) == ["Käse/1.jpg"]


def put(kind: str, paths: list[str], folder: Path, s3: Any) -> Any:
    if kind == "s3":
        for path in paths:
            s3.put_object(Bucket="bucket", Key=f"x/{path}", Body=path.encode())
        return S3Members(s3, "bucket", "x/")
    if kind == "folder":
        for path in paths:
            (folder / "x" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "x" / path).write_bytes(path.encode("utf-8", "surrogateescape"))
        return FolderMembers(folder / "x", Limits())
    if kind == "zip":
        with zipfile.ZipFile(folder / "x.zip", "w") as archive:
            for path in paths:
                archive.writestr(path, path.encode())
        return ZipMembers(zipfile.ZipFile(folder / "x.zip"), Limits())
    with tarfile.open(folder / "x.tar", "w") as tar:
        for path in paths:
            member = tarfile.TarInfo(path)
            member.size = len(path.encode())
            tar.addfile(member, io.BytesIO(path.encode()))
    return TarMembers(folder / "x.tar", Limits())


@pytest.mark.parametrize("kind", ["zip", "tar", "folder", "s3"])
def test_decomposed_and_composed_letters_are_one_class(kind: str, tmp_path: Path, s3: Any) -> None:
    paths = [f"train/{DECOMPOSED}/1.jpg", "train/dog/1.jpg", f"valid/{COMPOSED}/2.jpg", "valid/dog/2.jpg"]
    members = put(kind, paths, tmp_path, s3)
    layout = find_layout(members.files(), members.folders())
    assert {label for _, label in layout.class_folders} == {COMPOSED, "dog"}
    assert dict(members.read(members.files())) == {
        unicodedata.normalize("NFC", path): path.encode() for path in paths
    }


@pytest.mark.parametrize("kind", ["zip", "tar", "folder", "s3"])
def test_one_file_in_two_spellings_is_refused(kind: str, tmp_path: Path, s3: Any) -> None:
    with pytest.raises(DatasetError, match="spelling"):
        put(kind, [f"{DECOMPOSED}/1.jpg", f"{COMPOSED}/1.jpg"], tmp_path, s3)


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_names_of_tars_and_folders_that_are_no_utf_8_are_read_too(kind: str, tmp_path: Path) -> None:
    members = (
        put(kind, [os.fsdecode("Café/1.jpg".encode("cp1252"))], tmp_path, None) if kind == "folder" else None
    )
    if kind == "tar":
        with tarfile.open(tmp_path / "x.tar", "w", encoding="cp1252", format=tarfile.GNU_FORMAT) as tar:
            tar.addfile(tarfile.TarInfo("Café/1.jpg"))
        members = TarMembers(tmp_path / "x.tar", Limits())
    assert members is not None
    assert list(members.files()) == ["Café/1.jpg"]
    assert len(list(members.read(["Café/1.jpg"]))) == 1
