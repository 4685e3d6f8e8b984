"""Downloads: they go on where they were cut, and go nowhere they should not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response
from werkzeug.serving import make_server

from include.pipeline.data import download as module
from include.pipeline.data.download import download, public_address
from include.pipeline.data.errors import DatasetError

CONTENT = os.urandom(3_000_000)
Answer = Callable[[Request], Response]
Serve = Callable[[Answer], str]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(answer: Answer) -> str:
        server = make_server("127.0.0.1", 0, Request.application(answer), threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://user:word@127.0.0.1:{server.port}/a.zip?signature=secret"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


class AsItIs(Response):
    """Sends its headers without a look at them."""

    def get_wsgi_headers(self, environ: Any) -> Any:
        return self.headers


class Cutting:
    """Ends each of its first answers in the middle of what is left."""

    def __init__(self, cuts: int, ranges: bool, etags: tuple[str, ...] = ('"1"',)) -> None:
        self.cuts, self.ranges, self.etags = cuts, ranges, list(etags)
        self.asked: list[str | None] = []

    def __call__(self, request: Request) -> Response:
        etag = self.etags.pop(0) if len(self.etags) > 1 else self.etags[0]
        self.asked.append(request.headers.get("Range"))
        given = request.headers.get("Range")
        wanted = self.ranges and given and request.headers.get("If-Range") == etag
        start = int(given.removeprefix("bytes=").rstrip("-")) if wanted and given else 0
        body = CONTENT[start:]
        headers = {"Content-Length": str(len(body)), "ETag": etag}
        if self.cuts:
            self.cuts -= 1
            body = body[: len(body) // 2]
        return Response(iter([body]), 206 if wanted else 200, headers)


def test_after_three_cuts_only_the_rest_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    server = Cutting(3, ranges=True)
    download(serve(server), tmp_path / "file", print)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked[0] is None
    starts = [int((given or "bytes=0-").removeprefix("bytes=").rstrip("-")) for given in server.asked]
    assert len(starts) == 4
    assert starts == sorted(set(starts))


def test_without_ranges_it_starts_again(serve: Serve, tmp_path: Path) -> None:
    server = Cutting(3, ranges=False)
    download(serve(server), tmp_path / "file", print)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.asked) == 4


def test_a_file_that_changed_meanwhile_is_loaded_anew(serve: Serve, tmp_path: Path) -> None:
    server = Cutting(1, ranges=True, etags=('"1"', '"2"'))
    download(serve(server), tmp_path / "file", print)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(serve: Serve, tmp_path: Path) -> None:
    answers = [Response(status=503, headers={"Retry-After": "0"}), Response(status=429), Response(CONTENT)]
    download(serve(lambda request: answers.pop(0)), tmp_path / "file", print)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_what_is_not_there_is_said_at_once_and_without_secrets(serve: Serve, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(DatasetError, match=r"a\.zip answered with status 404") as raised:
        download(serve(lambda request: Response(status=404)), tmp_path / "file", told.append)
    assert not [text for text in [str(raised.value), *told] if "secret" in text or "word" in text]


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    told: list[str] = []
    address = "http://user:word@127.0.0.1:1/a.zip?signature=secret"
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1/a\.zip can't be fetched") as raised:
        download(address, tmp_path / "file", told.append)
    assert len(told) == 4
    assert raised.value.__cause__ is None
    assert not [text for text in [str(raised.value), *told] if "secret" in text or "word" in text]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("file:///etc/passwd", "not an http"),
        ("ftp://127.0.0.1/a.zip", "not an http"),
        ("http://169.254.169.254/latest/meta-data/", "keeps credentials"),
        ("http://[fe80::1]/", "keeps credentials"),
        ("/a.zip", "redirects more than 5 times"),
        ("http://[/a.zip", "redirects to what is no address"),
        ("http://host:99999/a.zip", "is not followed: it must be http"),
    ],
)
def test_a_redirect_leads_only_where_it_may(serve: Serve, tmp_path: Path, target: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        download(
            serve(lambda request: AsItIs(status=302, headers={"Location": target})),
            tmp_path / "file",
            print,
        )


def test_a_redirect_is_followed_without_the_password(serve: Serve, tmp_path: Path) -> None:
    seen: list[str | None] = []

    def other(request: Request) -> Response:
        seen.append(request.headers.get("Authorization"))
        return Response(CONTENT)

    target = serve(other).replace("user:word@", "")
    download(
        serve(lambda request: Response(status=302, headers={"Location": target})), tmp_path / "file", print
    )
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert seen == [None]


def test_what_does_not_fit_on_the_disk_is_not_begun(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1_000

    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(DatasetError, match=r"only 0\.0 GB are free"):
        download(serve(lambda request: Response(CONTENT)), tmp_path / "file", print)
    assert not (tmp_path / "file").exists()


def test_a_public_address_has_no_secrets() -> None:
    assert public_address("https://user:word@host:1/a.zip?signature=x#y") == "https://host:1/a.zip"
    assert public_address("/a/b?.zip") == "/a/b?.zip"
