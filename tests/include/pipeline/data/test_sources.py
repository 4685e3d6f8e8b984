"""Sources: each kind is opened, and known again when it has not changed."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response
from werkzeug.serving import make_server

from include.pipeline.data import download
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.sources import CopySource, identify, open_source

FILES = {"train/a/1.jpg": b"one", "train/b/2.jpg": b"two"}
Zipped = Callable[[dict[str, bytes]], str]


@pytest.fixture
def web(zipped: Zipped) -> Iterator[str]:
    """A web server that has one archive."""
    content = Path(zipped(FILES)).read_bytes()

    def answer(request: Request) -> Response:
        return Response(content, 200 if request.path == "/a.zip" else 404, {"ETag": '"1"'})

    server = make_server("127.0.0.1", 0, Request.application(answer), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()
    thread.join()


def read(address: str, s3: Any = None) -> dict[str, bytes]:
    with open_source(address, s3) as members:
        return dict(members.read(members.files()))


def test_folders_and_archives_are_read_from_here_from_the_web_and_from_s3(
    tmp_path: Path, zipped: Zipped, web: str, s3: Any
) -> None:
    archive = zipped(FILES)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "folder")
    s3.upload_file(archive, "bucket", "a.zip")
    for name, content in FILES.items():
        s3.put_object(Bucket="bucket", Key=f"photos/{name}", Body=content)
    for address in (
        archive,
        f"file://{archive}",
        str(tmp_path / "folder"),
        f"{web}/a.zip",
        "s3://bucket/a.zip",
        "s3://bucket/photos",
        "s3://bucket/photos/",
    ):
        assert read(address, s3) == FILES, address


def test_only_what_lies_singly_in_s3_can_be_copied_there(s3: Any, zipped: Zipped) -> None:
    put = s3.put_object(Bucket="bucket", Key="photos/1.jpg", Body=b"1")
    with open_source("s3://bucket/photos/", s3) as members:
        assert members.copy_source("1.jpg") == CopySource("bucket", "photos/1.jpg", put["ETag"])
    with open_source(zipped(FILES), s3) as members:
        assert members.copy_source("train/a/1.jpg") is None


def test_an_object_that_changes_while_it_is_read_is_noticed(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="photos/1.jpg", Body=b"1")
    with open_source("s3://bucket/photos/", s3) as members:
        s3.put_object(Bucket="bucket", Key="photos/1.jpg", Body=b"2")
        with pytest.raises(DatasetError, match=r"photos/1\.jpg changed while it was read"):
            list(members.read(["1.jpg"]))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/nowhere/a.zip", "There is no file or folder /nowhere/a.zip"),
        ("", "dataset is ''; it must be a path"),
        (" /a.zip", "without spaces around it"),
        ("ftp://host/a.zip", "dataset is 'ftp://host/a.zip'; it must be a path, an http"),
        ("s3://", "dataset is 's3://'; it must be s3://<bucket>/<key>"),
        ("s3://BAD_Bucket!/x", "dataset is 's3://BAD_Bucket!/x'; .* the name of the bucket"),
        (f"s3://bucket/{'x' * 1025}", "a key of at most 1024 bytes"),
        ("/" + "x" * 100_000, "a path of at most 4096 bytes"),
        ("/" + "x" * 256, "names of at most 255"),
        ("/a\0.zip", "must not contain control characters"),
        ("/\ud800.zip", "must not contain control characters"),
        ("http://[/a.zip?signature=secret", "dataset is 'http://...'; it must be http"),
        ("http://", "must be http"),
        ("http://host:99999/a.zip", "must be http"),
        ("/etc/passwd/a.zip", "There is no file or folder"),
        ("s3://bucket/nothing.zip", "no such object, and none below it"),
        ("s3://other/a.zip", "s3://other/a.zip can't be read"),
        ("s3://bucket/../evil", "no such object"),
    ],
)
def test_what_can_not_be_opened_is_named(s3: Any, address: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(address, s3)


def test_a_key_in_s3_that_leads_outside_is_refused(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="photos/a/../../evil.jpg", Body=b"x")
    with pytest.raises(DatasetError, match="leads outside"):
        read("s3://bucket/photos/", s3)


def archived(kind: str, cut: int | None = None) -> bytes:
    """An archive with a file that can't be compressed, up to a number of bytes."""
    file, content = io.BytesIO(), random.Random(0).randbytes(5000)
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.jpg", content)
    else:
        with tarfile.open(fileobj=file, mode=kind) as tar:  # type: ignore[call-overload]
            member = tarfile.TarInfo("a.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()[:cut]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"no archive", "is neither a zip, a tar nor a folder", id="text"),
        pytest.param(b"", "is empty: it has 0 bytes", id="empty"),
        pytest.param(archived("zip", 2000), "is a zip that was cut off", id="zip cut off"),
        pytest.param(
            archived("w:gz", 15), "by gzip, but holds no tar, or was cut off", id="gzip cut off at once"
        ),
        pytest.param(archived("w:gz", 2000), "archive is damaged", id="gzip cut off"),
        pytest.param(
            archived("w:xz", 40), "by xz, but holds no tar, or was cut off", id="xz cut off at once"
        ),
        pytest.param(archived("w:bz2", 40), "by bzip2, but holds no tar, or was cut off", id="bzip2 cut off"),
        pytest.param(archived("w", 2000), "archive is damaged", id="tar cut off"),
        pytest.param(gzip.compress(b"no tar"), "by gzip, but holds no tar", id="gzip of something else"),
        pytest.param(b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", id="7-Zip"),
        pytest.param(b"Rar!\x1a\x07", "is a RAR archive", id="RAR"),
        pytest.param(b"\xff\xd8\xff\xe0", "is a single JPEG", id="JPEG"),
        pytest.param(b"\n<!DOCTYPE html>", "is an HTML or XML page", id="page to sign in"),
    ],
)
def test_a_file_that_is_no_archive_is_refused_by_what_it_is(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "notes.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read(str(tmp_path / "notes.zip"))


@pytest.fixture
def special(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Paths that lead to neither files nor folders."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        yield {
            "a device": Path("/dev/zero"),
            "a pipe": tmp_path / "pipe.jpg",
            "a socket": tmp_path / "socket.jpg",
        }


@pytest.mark.parametrize("kind", ["a device", "a pipe", "a socket"])
def test_what_is_neither_a_file_nor_a_folder_is_refused_and_not_waited_for(
    tmp_path: Path, special: dict[str, Path], kind: str
) -> None:
    with pytest.raises(DatasetError, match=f"{special[kind]} is {kind}. Give the path of a zip"):
        read(str(special[kind]))
    folder = tmp_path / "photos" / "train"
    folder.mkdir(parents=True)
    inside = folder / "1.jpg"
    if kind == "a device":
        inside.symlink_to("/dev/zero")
        kind = "a link that leads elsewhere"
    else:
        special[kind].rename(inside)
    with pytest.raises(DatasetError, match=f"{inside} is {kind}"):
        read(str(tmp_path / "photos"))


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "2.jpg")
    with pytest.raises(DatasetError, match=r"1\.jpg is a link that leads nowhere"):
        read(str(tmp_path))


def test_hidden_files_may_be_of_any_kind(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "pipe")
    with open_source(str(tmp_path), None) as members:
        assert members.files() == {".git/pipe": 0}  # counted as litter, and never read


def refuse(*_: Any, **__: Any) -> Any:
    raise PermissionError(errno.EACCES, "Permission denied", "train")


@pytest.mark.parametrize("what", ["pathlib.Path.stat", "os.scandir", "pathlib.Path.open"])
def test_what_airflow_may_not_read_is_an_error_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "1.jpg").touch()
    monkeypatch.setattr(what, refuse)
    with pytest.raises(DatasetError, match=r"can't be read: Permission denied\. Make it readable"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("open", OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        ("open", OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (
            "tempfile",
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "No usable temporary directory found",
        ),
    ],
)
def test_a_disk_that_takes_nothing_is_named_and_not_tried_again(
    web: str, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(
        *{"open": ("pathlib.Path.open", fail), "tempfile": ("tempfile.TemporaryDirectory", fail)}[call]
    )
    with pytest.raises(DatasetError, match=f"temporary files: {message}.*Make room there"):
        read(f"{web}/a.zip")


def test_a_source_is_known_again_until_it_changes(tmp_path: Path, zipped: Zipped, web: str, s3: Any) -> None:
    archive = Path(zipped(FILES))
    s3.upload_file(str(archive), "bucket", "a.zip")
    s3.put_object(Bucket="bucket", Key="photos/1.jpg", Body=b"1")
    addresses = [str(archive), str(tmp_path), "s3://bucket/a.zip", "s3://bucket/photos/", "generated"]
    before = [identify(address, s3) for address in addresses]
    assert None not in before
    assert before == [identify(address, s3) for address in addresses]

    archive.write_bytes(b"other")
    os.utime(archive, (1, 1))
    for key in ("a.zip", "photos/1.jpg"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"other")
    after = [identify(address, s3) for address in addresses]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, False, False, True]


def test_an_archive_on_the_web_is_known_by_its_etag_and_keeps_its_signature_secret(web: str) -> None:
    identity = identify(f"{web}/a.zip?signature=secret", None)
    assert identity == identify(f"{web}/a.zip?signature=secret", None)
    assert '"1"' in identity
    assert "secret" not in str(identity)


def test_what_can_not_be_reached_has_no_identity(web: str, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CONNECT_SECONDS", 1)
    for address in (
        f"{web}/nothing",
        "http://127.0.0.1:1/a.zip",
        "s3://other/a.zip",
        "/nowhere",
        "ftp://a/b",
    ):
        assert identify(address, s3) is None
