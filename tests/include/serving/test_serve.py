"""The server of the serving image is healthy only if it can answer, and answers or refuses whatever comes."""

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3

from tests.environments import PATIENCE
from tests.include.serving.conftest import Start
from tests.include.serving.server import Server

CAN_NOT_LOAD = 3


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def several(server: Server, photo: bytes, count: int) -> Iterator[list["Future[urllib3.BaseHTTPResponse]"]]:
    """Send requests at the same time; all must be answered by the end."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(server.invoke, photo) for _ in range(count)]


def test_photos_are_answered_by_onnx_runtime(server: Server, photo: bytes) -> None:
    answer = server.invoke(photo)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "runtime=onnxruntime;precision=fp32"
    assert answer.json()["predictions"][0]["label"] == "002.Green"
    assert "torch" not in _imported(server)


def _imported(server: Server) -> set[str]:
    [worker] = server.workers()
    return {Path(each.path).name.partition(".")[0] for each in worker.memory_maps()} & {"torch", "libtorch"}


def test_batches_are_answered(server: Server, photo: bytes) -> None:
    items = [{"image": base64.b64encode(photo).decode(), "top_k": 1}] * 3

    answer = server.invoke(json.dumps(items).encode(), "application/json")

    assert [len(each["predictions"]) for each in answer.json()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "sentence"),
    [
        ("application/x-www-form-urlencoded", b"a=b", 415, "The content type application/x-www-form-urlencoded"),
        ("multipart/form-data; boundary=x", b"--x--", 400, "The form has no image"),
        ("text/csv", b"1,2\xff", 415, "The content type text/csv is unknown; use image/*"),
        ("text/csv", b"", 415, "The content type text/csv"),
        (None, b"\xff\xd8", 415, "There is no content type; use image/*"),
        ("image/jpeg", b"", 400, "The request is empty"),
        ("application/json", b"", 400, "The request is empty"),
        ("application/json", b"{", 400, "The request is not valid JSON"),
        ("image/jpeg", b"no image", 400, "The image "),
        ("image/png", b"x" * (25 * 2**20), 400, "The image "),
        ("image/jpeg", b"x" * (25 * 2**20 + 1), 413, "The request has 26,214,401 bytes"),
        ("text/csv", b"x" * (26 * 2**20), 415, "The content type text/csv"),
    ],
)  # fmt: skip
def test_bad_requests_get_a_sentence(
    server: Server, content_type: str | None, body: bytes, status: int, sentence: str
) -> None:
    answer = server.invoke(body, content_type)

    assert answer.status == status
    assert answer.json()["error"].startswith(sentence)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/invocations", 405), ("POST", "/ping", 405), ("POST", "/", 404)]
)
def test_other_requests_are_refused(server: Server, method: str, path: str, status: int) -> None:
    assert urllib3.request(method, f"{server.url}{path}", retries=False).status == status


def test_what_finds_no_place_is_answered_503_at_once(server: Server, photo: bytes) -> None:
    gate = server.hold("computing")  # eight are worked on, and three wait
    with several(server, photo, 16) as answers:
        until(lambda: sum(answer.done() for answer in answers) == 5)
        refused = [answer.result() for answer in answers if answer.done()]
        assert server.ping() == 200
        gate.unlink()

    assert {answer.status for answer in refused} == {503}
    assert refused[0].json()["error"].startswith("11 requests are under way, as many as fit.")
    assert sorted(answer.result().status for answer in answers) == [200] * 11 + [503] * 5
    assert server.invoke(photo).status == 200


def test_requests_that_wait_are_computed_in_one_pass(server: Server, photo: bytes) -> None:
    gate = server.hold("computing")
    before, prepared = server.count("computing"), server.count("preparing")
    with several(server, photo, 8) as answers:
        until(lambda: server.count("preparing") == prepared + 8 and server.count("computing") > before)
        gate.unlink()

    assert {answer.result().status for answer in answers} == {200}
    assert server.count("computing") - before < 8


def test_the_server_is_not_healthy_while_the_model_loads(start: Start, base: Path, photo: bytes) -> None:
    (base / "model" / "loading").touch()
    server = start()
    server.wait(503)

    answer = server.invoke(photo)

    assert (answer.status, answer.json()) == (503, {"error": "The model is being loaded. Try again shortly."})
    (base / "model" / "loading").unlink()
    server.wait()
    assert server.invoke(photo).status == 200


def test_the_server_is_not_healthy_before_a_prediction(start: Start, base: Path) -> None:
    (base / "model" / "computing").touch()
    server = start()

    until(lambda: server.count("computing") == 1)

    assert server.ping() == 503
    (base / "model" / "computing").unlink()
    server.wait()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda model: (model / "model.onnx").write_bytes(b"damaged"), "INVALID_PROTOBUF", id="damaged"),
        pytest.param(lambda model: (model / "model.onnx").unlink(), "model.onnx does not exist", id="no weights"),
        pytest.param(lambda model: (model / "classes.json").unlink(), "classes.json", id="no classes"),
        pytest.param(
            lambda model: (model / "code" / "image_classifier" / "payload.py").unlink(),
            "cannot import name 'payload'",
            id="no module",
        ),
        pytest.param(
            lambda model: (model / "model.json").write_text(
                (model / "model.json").read_text().replace("32", "33")
            ),
            "index: 2 Got: 33 Expected: 32",
            id="can't compute",
        ),
    ],
)  # fmt: skip
def test_a_model_that_cannot_answer_ends_the_server(
    start: Start, base: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(base / "model")
    server = start()

    status = server.process.wait(PATIENCE)

    assert status == CAN_NOT_LOAD
    assert message in server.log.read_text()
    assert f"The model in {base}/model can't be loaded. Shutting down." in server.log.read_text()


def test_a_folder_without_a_model_is_refused_with_a_sentence(start: Start, base: Path) -> None:
    (base / "model" / "code" / "image_classifier" / "endpoint.py").unlink()
    server = start()

    assert server.process.wait(PATIENCE) == 1
    assert server.log.read_text() == (
        f"{base}/model/code/image_classifier/endpoint.py does not exist. {base}/model must be an unpacked "
        "model.tar.gz.\n"
    )


def test_a_worker_that_dies_is_restarted(start: Start, photo: bytes) -> None:
    server = start()
    server.wait()
    [worker] = server.workers()

    worker.kill()
    until(lambda: [each.pid for each in server.workers() if each.is_running()] not in ([], [worker.pid]))
    server.wait()

    assert server.invoke(photo).status == 200


def test_a_worker_that_cannot_come_back_ends_the_server(start: Start, base: Path) -> None:
    server = start()
    server.wait()
    (base / "model" / "model.onnx").unlink()

    server.workers()[0].kill()

    assert server.process.wait(PATIENCE) == CAN_NOT_LOAD


def test_requests_under_way_are_answered_before_the_server_ends(start: Start, photo: bytes) -> None:
    server = start(SERVING_CORES="1")
    server.wait()
    prepared = server.count("preparing")
    gate = server.hold("computing")
    with several(server, photo, 3) as answers:
        until(lambda: server.count("preparing") == prepared + 3)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.ping() is None)  # takes no more
        gate.unlink()

    assert [answer.result().status for answer in answers] == [200] * 3
    assert server.process.wait(PATIENCE) == 0


def test_processes_and_threads_follow_the_processors(start: Start, photo: bytes) -> None:
    server = start(SERVING_PROCESSES="2", SERVING_CORES="1")
    gate = server.hold("loading")
    until(lambda: server.count("loading") == 2)
    slow, _ = server.workers()
    slow.suspend()
    gate.unlink()
    until(lambda: server.invoke(photo).status == 200)
    assert server.ping() == 503  # while one of two loads
    slow.resume()
    server.wait()
    assert server.stop() == 0

    if hasattr(os, "sched_setaffinity"):
        alone = psutil.Process()
        allowed = alone.cpu_affinity()
        assert allowed is not None
        alone.cpu_affinity(allowed[:1])
        try:
            server = start(SERVING_QUEUE="0")
        finally:
            alone.cpu_affinity(allowed)
        server.wait()
        gate = server.hold("computing")
        with several(server, photo, 6) as answers:  # four at once on one processor
            until(lambda: sum(answer.done() for answer in answers) == 2)
            gate.unlink()
        assert sorted(answer.result().status for answer in answers) == [200] * 4 + [503] * 2
