"""Sources: folders, archives and addresses, good and hostile."""

from __future__ import annotations

import io
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from include.pipeline.dataset import DatasetError
from include.pipeline.sources import is_ignored, open_source


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A web server on loopback, and the content of its paths."""
    contents: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents.get(self.path)
            self.send_response(200 if content is not None else 404)
            length = len(content or b"")
            self.send_header("Content-Length", str(length * 2 if self.path == "/cut.zip" else length))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", contents
    server.shutdown()
    server.server_close()


def test_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "train" / "a" / "1.jpg").write_bytes(b"x")
    with open_source(str(tmp_path), None) as members:
        assert members.files() == ["train/a/1.jpg"]
        assert members.folders() == ["train", "train/a"]
        assert members.read("train/a/1.jpg") == b"x"


def test_a_zip_is_read_in_place(zipped: Callable[[dict[str, bytes]], str]) -> None:
    with open_source(zipped({"train/a/1.jpg": b"x"}), None) as members:
        assert members.files() == ["train/a/1.jpg"]
        assert members.read("train/a/1.jpg") == b"x"


def test_a_compressed_tar_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "images.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("train/a/1.jpg")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with open_source(str(path), None) as members:
        assert members.files() == ["train/a/1.jpg"]
        assert members.read("train/a/1.jpg") == b"x"


@pytest.mark.parametrize(
    "path", ["../outside.jpg", "/etc/outside.jpg", "train/../../outside.jpg", "..\\outside.jpg"]
)
def test_a_path_that_leads_outside_of_a_zip_is_refused(
    zipped: Callable[[dict[str, bytes]], str], path: str
) -> None:
    with pytest.raises(DatasetError, match="leads outside"), open_source(zipped({path: b"x"}), None):
        pass


def test_a_link_in_a_tar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("train/a/1.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DatasetError, match="link or a device"), open_source(str(path), None):
        pass


def test_a_path_where_nothing_is_is_named() -> None:
    with (
        pytest.raises(DatasetError, match=r"no file or folder /nowhere/images.zip"),
        open_source("/nowhere/images.zip", None),
    ):
        pass


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(b"hello")
    with pytest.raises(DatasetError, match="neither a zip, a tar nor a folder"), open_source(str(path), None):
        pass


def test_an_unknown_kind_of_address_is_refused() -> None:
    with (
        pytest.raises(DatasetError, match="allowed: a path, http://, https:// or s3://"),
        open_source("ftp://x/y.zip", None),
    ):
        pass


def test_an_archive_is_fetched_from_the_web(
    web: tuple[str, dict[str, bytes]], zipped: Callable[[dict[str, bytes]], str]
) -> None:
    address, contents = web
    contents["/images.zip"] = Path(zipped({"train/a/1.jpg": b"x"})).read_bytes()
    with open_source(f"{address}/images.zip", None) as members:
        assert members.files() == ["train/a/1.jpg"]


def test_an_address_with_nothing_behind_it_is_named_with_its_status(
    web: tuple[str, dict[str, bytes]],
) -> None:
    with pytest.raises(DatasetError, match="status 404"), open_source(f"{web[0]}/nothing.zip", None):
        pass


def test_an_address_that_does_not_answer_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/images.zip?signature=secret"
    with pytest.raises(DatasetError, match="can't be fetched") as error, open_source(address, None):
        pass
    assert "secret" not in str(error.value)


def test_a_download_that_is_cut_off_is_an_error(
    web: tuple[str, dict[str, bytes]], zipped: Callable[[dict[str, bytes]], str]
) -> None:
    address, contents = web
    contents["/cut.zip"] = Path(zipped({"train/a/1.jpg": b"x"})).read_bytes()
    with (
        pytest.raises(DatasetError, match=r"can't be fetched|cut off"),
        open_source(f"{address}/cut.zip", None),
    ):
        pass


def test_an_archive_is_read_from_s3(s3: Any, zipped: Callable[[dict[str, bytes]], str]) -> None:
    s3.upload_file(zipped({"train/a/1.jpg": b"x"}), "bucket", "images.zip")
    with open_source("s3://bucket/images.zip", s3) as members:
        assert members.files() == ["train/a/1.jpg"]


def test_a_missing_object_in_s3_is_named(s3: Any) -> None:
    with (
        pytest.raises(DatasetError, match=r"s3://bucket/none.zip can't be read"),
        open_source("s3://bucket/none.zip", s3),
    ):
        pass


def test_what_operating_systems_leave_is_passed_over() -> None:
    assert is_ignored("train/a/.DS_Store")
    assert is_ignored("__MACOSX/train/a/1.jpg")
    assert not is_ignored("train/a/1.jpg")
