"""Pretrained weights: uploaded to S3 once, and verified."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from include.pipeline.pretrained import PretrainedError, stage_weights
from include.pipeline.settings import Classifier, Project

WEIGHTS = b"weights"
NAME = f"net-{hashlib.sha256(WEIGHTS).hexdigest()[:8]}.pth"


def starting_from(project: Project, source: str | None) -> Project:
    layers = "head" if source else "all"
    return project.model_copy(update={"classifier": Classifier(pretrained=source, train_layers=layers)})  # type: ignore[arg-type]


@pytest.fixture
def web() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if "missing" in self.path else 200)
            self.end_headers()
            self.wfile.write(WEIGHTS)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]


def test_weights_of_a_package_are_staged_once(project: Project, s3: Any) -> None:
    said: list[str] = []
    first = stage_weights(project, "bucket", s3, said.append)
    second = stage_weights(project, "bucket", s3, said.append)
    assert first == second
    assert keys(s3) == [first.uri.removeprefix("s3://bucket/") + "/efficientnet-lite0-57934424.pth"]
    assert "already in S3" in said[-1]


def test_no_weights_need_no_staging(project: Project, s3: Any) -> None:
    assert stage_weights(starting_from(project, None), "bucket", s3).uri is None
    assert keys(s3) == []


def test_a_file_is_staged(project: Project, s3: Any, tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(WEIGHTS)
    stage_weights(starting_from(project, str(tmp_path / "own.pth")), "bucket", s3)
    assert [key.rsplit("/", 1)[1] for key in keys(s3)] == ["own.pth"]


def test_fetched_weights_are_checked_against_the_hash_in_their_name(
    project: Project, s3: Any, web: str
) -> None:
    stage_weights(starting_from(project, f"{web}/{NAME}"), "bucket", s3)
    assert keys(s3)[0].endswith(NAME)


def test_corrupted_weights_are_refused(project: Project, s3: Any, web: str) -> None:
    with pytest.raises(PretrainedError, match="is corrupted"):
        stage_weights(starting_from(project, f"{web}/net-00000000.pth"), "bucket", s3)
    assert keys(s3) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package:no-such-package", "no-such-package"),
        ("/nowhere/x.pth", "/nowhere/x.pth with pretrained weights does not exist"),
        ("/dev/zero", "/dev/zero with pretrained weights does not exist"),
        ("{web}/missing.pth", "can't be fetched"),
        ("s3://bucket/missing.pth", "s3://bucket/missing.pth can't be fetched"),
        ("s3://other-bucket/missing.pth", "can't be fetched"),
    ],
)
def test_unavailable_weights_are_reported(
    project: Project, s3: Any, web: str, source: str, message: str
) -> None:
    with pytest.raises(PretrainedError, match=message):
        stage_weights(starting_from(project, source.format(web=web)), "bucket", s3)


@pytest.mark.parametrize("source", ["{web}/net.pth", "s3://bucket/own/net.pth", "{folder}/net.pth"])
def test_weights_of_any_source_are_checked_against_the_hash_of_the_project(
    project: Project, s3: Any, web: str, tmp_path: Path, source: str
) -> None:
    (tmp_path / "net.pth").write_bytes(WEIGHTS)
    s3.put_object(Bucket="bucket", Key="own/net.pth", Body=WEIGHTS)
    asked = starting_from(project, source.format(web=web, folder=tmp_path))
    unchecked = stage_weights(asked, "bucket", s3)

    def with_hash(content: bytes) -> Project:
        promised = hashlib.sha256(content).hexdigest()
        classifier = asked.classifier.model_copy(update={"pretrained_sha256": promised})
        return asked.model_copy(update={"classifier": classifier})

    # What was staged before does not count.
    with pytest.raises(PretrainedError, match=r"have the SHA-256 .*, but classifier.pretrained_sha256 is"):
        stage_weights(with_hash(b"other weights"), "bucket", s3)
    checked = stage_weights(with_hash(WEIGHTS), "bucket", s3)
    assert checked.uri != unchecked.uri
    assert {key.rsplit("/", 1)[1] for key in keys(s3)} == {"net.pth"}
    assert len([key for key in keys(s3) if "/pretrained/" in key]) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pretrained_sha256": "abc"}, "must be a SHA-256 in 64 hexadecimal digits"),
        ({"pretrained_sha256": "0" * 64, "pretrained": None, "train_layers": "all"}, "leave it out"),
    ],
)
def test_an_invalid_hash_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Classifier(**given)


def test_a_hash_may_be_in_upper_case() -> None:
    assert Classifier(pretrained_sha256="AB" * 32).pretrained_sha256 == "ab" * 32
