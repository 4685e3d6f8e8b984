"""Sources: each kind is opened, and known again when it has not changed."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response
from werkzeug.serving import make_server

from include.pipeline.data import download
from include.pipeline.data.dataset import DatasetError
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
        ("ftp://host/a.zip", "ftp:// is no kind of address that is known"),
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


@pytest.mark.parametrize("content", [b"no archive", b"PK\x03\x04 and nothing more", b""])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"notes\.zip (is neither a zip|can't be read)"):
        read(str(tmp_path / "notes.zip"))


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
