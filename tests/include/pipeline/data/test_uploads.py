"""Sending objects: both ways bring every byte, keep little on its way, and lose no error."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.config import Config
from werkzeug import Request, Response
from werkzeug.serving import make_server

from include.pipeline.data import uploads
from include.pipeline.data.s3_members import CopySource
from include.pipeline.data.upload import UploadError, UploadRefusedError, refused
from include.pipeline.data.upload_by_obstore import bucket_url
from include.pipeline.data.uploads import open_sender
from include.pipeline.errors import PermanentError

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>because</Message></Error>"


class FakeS3:
    """Keeps what is put; `refuse` answers in its place."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.refuse: Callable[[Request], Response | None] = lambda request: None
        self.active = self.most_active = 0
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, Request.application(self._answer), threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._server.port}",
            config=Config(
                retries={"mode": "standard", "max_attempts": 3}, max_pool_connections=uploads.THREADS
            ),
        )

    def _answer(self, request: Request) -> Response:
        with self._lock:
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            body = request.get_data()
            refusal = self.refuse(request)
            if refusal:
                return refusal
            key = unquote(request.environ["REQUEST_URI"].partition("?")[0]).removeprefix("/bucket/")
            with self._lock:
                self.objects[key] = body
                self.headers[key] = dict(request.headers.items())
            if "X-Amz-Copy-Source" in request.headers:
                return Response('<CopyObjectResult><ETag>"1"</ETag></CopyObjectResult>')
            return Response(headers={"ETag": '"1"'})
        finally:
            with self._lock:
                self.active -= 1

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def fake() -> Iterator[FakeS3]:
    server = FakeS3()
    yield server
    server.close()


@pytest.fixture(params=["obstore", "boto3"])
def credentials(request: pytest.FixtureRequest) -> Any:
    return boto3.Session().get_credentials() if request.param == "obstore" else None


def put(sender: Any, key: str, body: bytes) -> None:
    sender.put(key, body, hashlib.sha256(body).hexdigest())


def test_every_object_arrives_whatever_its_key(fake: FakeS3, credentials: Any) -> None:
    bodies = {f"train/a b+c%20/é&=?#{n}.jpg": bytes([n % 256]) * n * 7 for n in range(500)}
    with open_sender(fake.client, "bucket", credentials) as sender:
        for key, body in bodies.items():
            put(sender, key, body)
    assert fake.objects == bodies
    sent = fake.headers["train/a b+c%20/é&=?#0.jpg"]
    assert sent["Content-Type"] == "image/jpeg"
    assert sent["X-Amz-Checksum-Sha256"] == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of nothing


def test_obstore_sends_where_there_are_credentials(fake: FakeS3) -> None:
    with open_sender(fake.client, "bucket", boto3.Session().get_credentials()) as sender:
        put(sender, "a.jpg", b"1")
    assert "object_store" in fake.headers["a.jpg"]["User-Agent"]


def test_without_obstore_boto3_sends(fake: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "include.pipeline.data.upload_by_obstore", None)
    with open_sender(fake.client, "bucket", boto3.Session().get_credentials()) as sender:
        put(sender, "a.jpg", b"1")
    assert "Boto3" in fake.headers["a.jpg"]["User-Agent"]


def test_copies_are_made_by_s3_if_the_object_is_the_same(fake: FakeS3, credentials: Any) -> None:
    with open_sender(fake.client, "bucket", credentials) as sender:
        sender.copy("new.jpg", CopySource("theirs", "a b/old.jpg", '"etag"'))
    assert fake.objects == {"new.jpg": b""}
    assert fake.headers["new.jpg"]["X-Amz-Copy-Source"] == "theirs/a%20b/old.jpg"
    assert fake.headers["new.jpg"]["X-Amz-Copy-Source-If-Match"] == '"etag"'
    assert fake.headers["new.jpg"]["X-Amz-Tagging-Directive"] == "REPLACE"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "AccessDenied", UploadRefusedError), (400, "BadDigest", UploadError)],
)
def test_what_s3_does_not_take_is_said(
    fake: FakeS3, credentials: Any, status: int, code: str, kind: type[Exception]
) -> None:
    fake.refuse = lambda request: Response(ERROR.format(code), status, content_type="application/xml")
    with (
        pytest.raises(kind, match=f"S3 did not take a.jpg: {code}: because") as raised,
        open_sender(fake.client, "bucket", credentials) as sender,
    ):
        put(sender, "a.jpg", b"1")
    assert isinstance(raised.value, PermanentError) == (kind is UploadRefusedError)


def test_after_an_error_nothing_more_is_sent(fake: FakeS3, credentials: Any) -> None:
    fake.refuse = lambda request: Response(ERROR.format("AccessDenied"), 403, content_type="application/xml")
    begun = []

    def put_many() -> None:
        with open_sender(fake.client, "bucket", credentials) as sender:
            for number in range(100_000):
                put(sender, f"{number}.jpg", b"1")
                begun.append(number)

    with pytest.raises(UploadRefusedError):
        put_many()
    assert len(begun) < 20_000


def test_a_throttled_request_is_sent_again(fake: FakeS3, credentials: Any) -> None:
    refused: set[str] = set()

    def throttle(request: Request) -> Response | None:
        if request.path in refused:
            return None
        refused.add(request.path)
        return Response(ERROR.format("SlowDown"), 503, content_type="application/xml")

    fake.refuse = throttle
    with open_sender(fake.client, "bucket", credentials) as sender:
        for number in range(5):
            put(sender, f"{number}.jpg", b"1")
    assert len(fake.objects) == 5


def test_only_so_much_is_on_its_way(fake: FakeS3, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_OBJECTS", 4)
    monkeypatch.setattr(uploads, "BATCH_OBJECTS", 2)

    def slow(request: Request) -> None:
        time.sleep(0.01)

    fake.refuse = slow
    with open_sender(fake.client, "bucket", credentials) as sender:
        for number in range(40):
            put(sender, f"{number}.jpg", b"1")
    assert len(fake.objects) == 40
    assert fake.most_active <= 4


def test_a_large_object_does_not_wait_for_others(
    fake: FakeS3, credentials: Any, eventually: Callable[..., Any]
) -> None:
    with open_sender(fake.client, "bucket", credentials) as sender:
        put(sender, "small.jpg", b"1")
        put(sender, "large.jpg", bytes(uploads.BATCH_BYTES))
        put(sender, "later.jpg", b"2")
        eventually(lambda: set(fake.objects) == {"small.jpg", "large.jpg"})
    assert set(fake.objects) == {"small.jpg", "large.jpg", "later.jpg"}


def test_an_error_between_the_puts_is_not_hidden(fake: FakeS3, credentials: Any) -> None:
    def put_and_fail() -> None:
        with open_sender(fake.client, "bucket", credentials) as sender:
            put(sender, "a.jpg", b"1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()


@pytest.mark.parametrize(
    ("region", "bucket", "url"),
    [
        ("us-east-1", "birds", "https://birds.s3.amazonaws.com"),
        ("eu-central-1", "birds", "https://birds.s3.eu-central-1.amazonaws.com"),
        ("af-south-1", "birds", "https://birds.s3.af-south-1.amazonaws.com"),
        ("cn-north-1", "birds", "https://birds.s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "birds", "https://birds.s3.us-gov-west-1.amazonaws.com"),
        # No certificate of AWS's holds for it as a host.
        ("eu-central-1", "my.birds", "https://s3.eu-central-1.amazonaws.com/my.birds"),
    ],
)
def test_obstore_sends_to_the_regions_own_endpoint(region: str, bucket: str, url: str) -> None:
    assert bucket_url(boto3.client("s3", region_name=region), bucket) == url


@pytest.mark.parametrize(
    ("endpoint", "style", "url"),
    [
        ("http://127.0.0.1:5566", "path", "http://127.0.0.1:5566/birds"),
        ("https://s3.example.com/base/", "path", "https://s3.example.com/base/birds"),
        ("https://s3.example.com", "virtual", "https://birds.s3.example.com"),
    ],
)
def test_obstore_sends_to_an_endpoint_of_ones_own(endpoint: str, style: str, url: str) -> None:
    config = Config(s3={"addressing_style": style})
    client = boto3.client("s3", region_name="eu-central-1", endpoint_url=endpoint, config=config)
    assert bucket_url(client, "birds") == url


def test_what_may_not_be_decrypted_is_told_with_the_permission() -> None:
    message = "User: x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:1:key/2"
    error = refused("a.jpg", "AccessDenied", message)
    assert isinstance(error, UploadRefusedError)
    assert "let Airflow's role use that key (kms:Decrypt)" in str(error)


def test_an_object_that_changed_before_it_was_copied_can_be_staged_again() -> None:
    error = refused(
        "a.jpg", "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"
    )
    assert not isinstance(error, UploadRefusedError)
    assert "changed while the data set was staged" in str(error)
