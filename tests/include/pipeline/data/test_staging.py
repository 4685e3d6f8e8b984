"""Staging: judged before anything is sent, never sent twice, and only what changed."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import DomainDispatcherApplication, create_backend_app
from PIL import Image
from werkzeug.serving import make_server

from include.pipeline.data.errors import DatasetError
from include.pipeline.data.manifest import read_manifest
from include.pipeline.data.staging import stage
from include.pipeline.settings import Checks, Data, Project

from .conftest import jpeg

REPOSITORY = Path(__file__).parents[4]
DOG_PHOTOS = REPOSITORY.parent / "shared" / "data" / "dogs.zip"
Zipped = Callable[[dict[str, bytes]], str]


def keys(s3: Any, prefix: str = "") -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return {item["Key"] for page in pages for item in page.get("Contents", [])}


def image_keys(s3: Any) -> set[str]:
    return {key for key in keys(s3) if key.endswith(".jpg")}


def test_a_data_set_arrives_with_its_manifest_and_report(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    result = stage(
        project, zipped({f"photos/{path}": body for path, body in good_files.items()}), "bucket", s3
    )
    prefix = f"birds/data/{result.fingerprint}"
    assert result.uri == f"s3://bucket/{prefix}"
    assert (result.sent, result.copied, result.classes) == (6, 0, ["001.Robin", "002.Wren"])
    assert result.report == f"s3://bucket/{prefix}/report.html"
    assert keys(s3, prefix) == {f"{prefix}/{name}" for name in ("manifest.json", "report.html", *good_files)}
    for path, content in good_files.items():
        assert s3.get_object(Bucket="bucket", Key=f"{prefix}/{path}")["Body"].read() == content
    manifest = read_manifest(result.uri, s3)
    assert manifest.counts == {"train": 2, "valid": 2, "test": 2}
    assert {file["path"]: file["size"] for file in manifest.files} == {
        path: len(content) for path, content in good_files.items()
    }


def test_a_source_that_has_not_changed_is_not_even_read(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(good_files)
    first = stage(project, path, "bucket", s3)
    told: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr("include.pipeline.data.staging.open_source", None)  # whoever reads fails
        second = stage(project, path, "bucket", s3, judged=told.append)
    assert second == first.model_copy(update={"sent": 0})
    assert told == [
        "The data set can be used: 6 images of 2 classes (2 train, 2 valid, 2 test). Excluded images: 0. "
        "Ignored files: 0. Warnings: 1. The source has not changed since it was staged: nothing is read or sent."
    ]

    s3.delete_object(Bucket="bucket", Key=f"birds/data/{first.fingerprint}/manifest.json")
    third = stage(project, path, "bucket", s3)
    assert (third.uri, third.sent) == (first.uri, 0)
    assert f"birds/data/{first.fingerprint}/manifest.json" in keys(s3)


def test_other_limits_are_another_question(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    path = zipped(good_files)
    stage(project, path, "bucket", s3)
    stricter = project.model_copy(update={"data": Data(classes=3)})
    with pytest.raises(DatasetError, match="2 classes"):
        stage(stricter, path, "bucket", s3)


def test_the_same_images_in_another_archive_are_not_sent_again(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    first = stage(project, zipped(good_files), "bucket", s3)
    again = zipped({f"other/{path}": content for path, content in good_files.items()})
    second = stage(project, again, "bucket", s3)
    assert (second.uri, second.sent, second.copied) == (first.uri, 0, 0)


def test_of_a_changed_data_set_only_the_change_is_sent(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    stage(project, zipped(good_files), "bucket", s3)
    moved = {path.replace("Robin", "Redbreast"): content for path, content in good_files.items()}
    changed = moved | {"train/002.Wren/new.jpg": jpeg(100)}
    result = stage(project, zipped(changed), "bucket", s3)
    assert (result.sent, result.copied) == (1, 6)
    for path, content in changed.items():
        key = f"birds/data/{result.fingerprint}/{path}"
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == content


def test_what_is_missing_of_the_earlier_data_set_is_sent(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    first = stage(project, zipped(good_files), "bucket", s3)
    prefix = f"birds/data/{first.fingerprint}"
    s3.delete_object(Bucket="bucket", Key=f"{prefix}/test/002.Wren/test.jpg")
    s3.put_object(Bucket="bucket", Key=f"{prefix}/test/001.Robin/test.jpg", Body=b"other")
    result = stage(project, zipped(good_files | {"train/002.Wren/new.jpg": jpeg(100)}), "bucket", s3)
    assert (result.sent, result.copied) == (3, 4)


def test_images_that_lie_in_s3_are_copied_there(
    project: Project, s3: Any, good_files: dict[str, bytes]
) -> None:
    s3.create_bucket(Bucket="theirs")
    for path, content in good_files.items():
        s3.put_object(Bucket="theirs", Key=f"birds 2026/{path}", Body=content)
    result = stage(project, "s3://theirs/birds 2026/", "bucket", s3)
    assert (result.sent, result.copied) == (0, 6)
    for path, content in good_files.items():
        key = f"birds/data/{result.fingerprint}/{path}"
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda files: {p: c for p, c in files.items() if not p.startswith("train")},
            "no train split",
            id="no train",
        ),
        pytest.param(lambda files: {**files, "../evil.jpg": b"x"}, "leads outside", id="hostile path"),
    ],
)
def test_what_is_no_data_set_is_refused_and_nothing_is_sent(
    project: Project,
    s3: Any,
    good_files: dict[str, bytes],
    zipped: Zipped,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    message: str,
) -> None:
    with pytest.raises(DatasetError, match=message):
        stage(project, zipped(change(good_files)), "bucket", s3)
    assert keys(s3) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda files: {p: c for p, c in files.items() if p != "valid/002.Wren/valid.jpg"},
            "002.Wren",
            id="class missing in a split",
        ),
        pytest.param(lambda files: {**files, "train/003.Owl/": b""}, "003.Owl", id="empty class"),
        pytest.param(
            lambda files: {**files, "train/001.Robin/a.jpg": b"text", "train/001.Robin/b.jpg": b"text"},
            "a.jpg",
            id="text named as image",
        ),
        pytest.param(
            lambda files: {**files, "test/001.Robin/leak.jpg": files["train/001.Robin/train.jpg"]},
            "train/001.Robin/train.jpg",
            id="a test image that is trained on",
        ),
    ],
)
def test_of_a_bad_data_set_there_is_a_report_and_no_image(
    project: Project,
    s3: Any,
    good_files: dict[str, bytes],
    zipped: Zipped,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    message: str,
) -> None:
    with pytest.raises(DatasetError) as raised:
        stage(project, zipped(change(good_files)), "bucket", s3)
    report = raised.value.report
    assert report is not None
    assert keys(s3) == {report.removeprefix("s3://bucket/")}
    page = s3.get_object(Bucket="bucket", Key=report.removeprefix("s3://bucket/"))["Body"].read().decode()
    assert message in page


def test_a_leak_may_be_allowed(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    leak = {**good_files, "test/001.Robin/leak.jpg": good_files["train/001.Robin/train.jpg"]}
    checks = Checks(duplicates_across_splits="warning")
    lenient = project.model_copy(update={"data": Data(checks=checks)})
    result = stage(lenient, zipped(leak), "bucket", s3)
    assert result.sent == 7
    assert [warning for warning in result.warnings if "leak.jpg" in warning]


def test_notes_and_thumbnails_beside_the_images_are_passed_over(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    extra = {"README.txt": b"x", "train/001.Robin/.DS_Store": b"x", "__MACOSX/train/001.Robin/._1.jpg": b"x"}
    assert stage(project, zipped({**good_files, **extra}), "bucket", s3).sent == 6


def test_the_drawn_pictures_are_a_good_data_set(project: Project, s3: Any) -> None:
    drawn = project.model_copy(update={"data": Data(source="generated", classes=5)})
    result = stage(drawn, "generated", "bucket", s3)
    assert result.counts == {"train": 300, "valid": 75, "test": 75}
    assert (result.warnings, result.set_aside) == ([], 0)


@pytest.mark.parametrize("source", ["zip", "s3"])
def test_images_that_the_containers_can_not_decode_arrive_as_png(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped, source: str
) -> None:
    photo = io.BytesIO()
    Image.open(io.BytesIO(jpeg(50))).save(photo, "AVIF")
    files = {**good_files, "train/002.Wren/7.avif": photo.getvalue()}
    place = zipped(files)
    if source == "s3":
        s3.create_bucket(Bucket="theirs")
        for path, content in files.items():
            s3.put_object(Bucket="theirs", Key=path, Body=content)
        place = "s3://theirs/"
    result = stage(project, place, "bucket", s3)
    assert (result.sent, result.copied) == ((7, 0) if source == "zip" else (1, 6))
    key = f"birds/data/{result.fingerprint}/train/002.Wren/7.avif.png"
    body = s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    assert body.startswith(b"\x89PNG")
    manifest = {file["path"]: file["sha256"] for file in read_manifest(result.uri, s3).files}
    assert manifest["train/002.Wren/7.avif.png"] == hashlib.sha256(body).hexdigest()
    assert "converted to PNG: 1 AVIF" in result.reading


@pytest.mark.skipif(not DOG_PHOTOS.exists(), reason=f"the dog photos are not at {DOG_PHOTOS}")
def test_real_photos_are_staged_once(project: Project, s3: Any) -> None:
    first = stage(project, str(DOG_PHOTOS), "bucket", s3)
    assert first.counts == {"train": 1300, "valid": 200, "test": 200}
    assert (first.sent, len(first.classes), first.set_aside) == (1700, 10, 0)
    assert stage(project, str(DOG_PHOTOS), "bucket", s3) == first.model_copy(update={"sent": 0})


class CountingS3:
    """A moto server that counts what it stored, and takes only so many objects until it is released."""

    def __init__(self, objects: int) -> None:
        application = DomainDispatcherApplication(create_backend_app)
        self.stored: Counter[str] = Counter()
        self.active: set[str] = set()
        self.released = threading.Event()
        room = threading.Semaphore(objects)

        def counting(environ: Any, start_response: Any) -> Any:
            if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(".jpg"):
                self.active.add(environ["PATH_INFO"])
                if not room.acquire(blocking=False):
                    self.released.wait()

                def count(status: str, headers: Any, exc_info: Any = None) -> Any:
                    self.active.discard(environ["PATH_INFO"])
                    if status.startswith("200"):
                        self.stored[environ["PATH_INFO"]] += 1
                    return start_response(status, headers, exc_info)

                return application(environ, count)
            return application(environ, start_response)

        self._server = make_server("127.0.0.1", 0, counting, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        requests.post(f"{self.url}/moto-api/reset")  # all of a process's servers share one state
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def counting_s3() -> Iterator[CountingS3]:
    server = CountingS3(objects=50)
    yield server
    server.close()


STAGE = """
import sys
import boto3
from include.pipeline.settings import Data, Project
from include.pipeline.data.staging import CLIENT_CONFIG, stage
source, url, client = sys.argv[1:]
session = boto3.Session()
s3 = session.client("s3", endpoint_url=url, config=CLIENT_CONFIG)
project = Project(name="birds", description="Tells birds apart.")
credentials = session.get_credentials() if client == "obstore" else None
print(stage(project, source, "bucket", s3, credentials=credentials).sent)
"""


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_a_killed_run_goes_on_where_it_stopped(
    counting_s3: CountingS3, eventually: Callable[..., Any], tmp_path: Path, client: str
) -> None:
    """Counted at the server: every image is stored once, though the first run was killed among them."""
    source = tmp_path / "birds.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(300):
            split = ("train", "train", "train", "valid", "test")[number % 5]
            archive.writestr(f"{split}/{number % 2}/{number}.jpg", jpeg(number))
    s3 = boto3.client("s3", endpoint_url=counting_s3.url)
    s3.create_bucket(Bucket="bucket")
    command = [sys.executable, "-c", STAGE, str(source), counting_s3.url, client]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: len(counting_s3.stored) >= 50)
        os.kill(process.pid, signal.SIGKILL)
    counting_s3.released.set()
    eventually(lambda: not counting_s3.active)  # what the client had sent in full is stored all the same
    before = len(image_keys(s3))
    assert 50 <= before < 300
    second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert int(second.stdout.split()[-1]) == 300 - before
    assert len(image_keys(s3)) == 300
    assert set(counting_s3.stored.values()) == {1}
