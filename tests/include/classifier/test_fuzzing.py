"""No request makes the endpoint fail or keep memory, whatever its headers, its JSON, its addresses and its images.

FUZZ_REQUESTS=20000 runs more of them; they are always the same.
"""

import asyncio
import gc
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_classifier import fetch
from image_classifier.endpoint import Endpoint
from moto import mock_aws
from starlette.applications import Starlette
from starlette.routing import Route

from tests.include.classifier.adapter import ray_serving
from tests.include.classifier.fuzzing import ANY_TEXT, CONTENT_TYPES, DOCUMENTS, HEADERS, budget, images
from tests.include.classifier.training import Trained

Ask = Callable[[dict[str, str], Any], tuple[int, Any]]

MAX_GROWTH_BYTES = 64_000_000


@pytest.fixture(scope="module")
def ask(trained: Trained) -> Iterator[Ask]:
    """Send a request to the endpoint in this process, with an S3 of its own and no other network."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), asyncio.Runner() as runner:
        patch.setenv("S3_INPUT_PREFIX", "s3://pets/dogs")
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(fetch.socket, "getaddrinfo", _resolve_addresses_alone)
        fetch.make_s3_client.cache_clear()
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="pets")
        answer = Endpoint(trained.model, threads=1).answer
        app = Starlette(routes=[Route("/", answer, methods=["POST"])])

        def send(headers: dict[str, str], body: Any) -> tuple[int, Any]:
            # A server takes no other characters.
            sent = {_latin(name).lower(): _latin(value) for name, value in headers.items()}
            status, _, content = runner.run(ray_serving.call(app, body, sent))
            return status, json.loads(content)

        send({}, b"")  # starts the thread that computes
        yield send
        fetch.make_s3_client.cache_clear()


def _latin(text: str) -> str:
    return text.encode("latin-1", errors="replace").decode("latin-1")


_getaddrinfo = socket.getaddrinfo


def _resolve_addresses_alone(host: str, port: int, **more: Any) -> Any:
    return _getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **more)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Fail if a test's requests leave threads behind."""
    threads = threading.active_count()
    yield
    assert threading.active_count() <= threads + 1


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Growth:
    """How much memory is used after a number of requests more than after the first tenth of them."""

    def __init__(self, requests: int) -> None:
        self.requests, self.seen, self.first = requests, 0, 0

    def count(self) -> None:
        self.seen += 1
        if self.seen == max(1, self.requests // 10):
            self.first = resident_bytes()

    @property
    def bytes(self) -> int:
        return resident_bytes() - self.first


def check_answer(status: int, answer: Any) -> None:
    assert 200 <= status < 500, answer
    if status != 200:
        assert list(answer) == ["error"]
        assert "Traceback" not in answer["error"]
        assert answer["error"].endswith((".", "]"))


def test_documents_are_answered_or_refused(ask: Ask) -> None:
    settings = budget(0.35)
    growth = Growth(settings.max_examples)

    @settings
    @given(headers=HEADERS, document=DOCUMENTS)
    @example(headers={}, document={"s3": "s3://pets/dogs/\ud800"})
    @example(headers={}, document=[{"s3": "s3://pets/dogs/a"}] * 16)
    @example(headers={"Content-Type": "text/csv"}, document="\udfff")
    def run(headers: dict[str, str], document: Any) -> None:
        growth.count()
        check_answer(*ask({"Content-Type": "application/json", **headers}, json.dumps(document).encode()))

    run()
    assert growth.bytes < MAX_GROWTH_BYTES


def test_bytes_are_answered_or_refused(ask: Ask) -> None:
    settings = budget(0.15)

    @settings
    @given(
        content_type=CONTENT_TYPES, body=st.binary(max_size=300) | ANY_TEXT.map(json.dumps).map(str.encode)
    )
    def run(content_type: str, body: bytes) -> None:
        check_answer(*ask({"Content-Type": content_type}, body))

    run()


def test_images_are_answered_or_refused(ask: Ask) -> None:
    settings = budget(0.5)
    growth = Growth(settings.max_examples)

    @settings
    @given(image=images())
    def run(image: bytes) -> None:
        growth.count()
        check_answer(*ask({"Content-Type": "image/jpeg"}, image))

    run()
    assert growth.bytes < MAX_GROWTH_BYTES
