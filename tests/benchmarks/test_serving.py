"""Handlers, servers and local AWS, measured with few generated images and a model with random weights."""

from __future__ import annotations

import importlib.util
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmarks import classifier_jobs, local, serve, torchserve
from benchmarks.dataset import GENERATED, Images, unpack
from benchmarks.http_client import Client
from benchmarks.options import Options

FEW = Options(images=10, rounds=1)
PHOTOS = 3


@pytest.fixture(scope="module", autouse=True)
def few_photos() -> Iterator[None]:
    """Send few photos, since each server gets them dozens of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "PHOTOS", PHOTOS)
        yield


@pytest.fixture(scope="module")
def photos(few_photos: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("serving")
    return serve.write_photos(unpack(GENERATED, scratch / "images", FEW.of_each_split()), scratch)


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> serve.Model:
    folder = tmp_path_factory.mktemp("model")
    classifier_jobs.run_module("random_model", "efficientnet_lite0", 5, photos, folder)
    return serve.Model("efficientnet_lite0", folder)


@pytest.mark.timeout(
    900
)  # TorchServe, Ray and half a dozen processes import PyTorch, most of them on one core
def test_serving_is_measured(monkeypatch: pytest.MonkeyPatch, model: serve.Model) -> None:
    """With TorchServe, if available; the predictions are compared too."""

    def prepare(images: Images, photos: Path, scratch: Path) -> Iterator[serve.Model]:
        yield model

    monkeypatch.setattr(serve, "prepare", prepare)
    results = serve.run(FEW)
    handler, server = (
        ("one photo, p50", "one photo, p99", "batch of 8"),
        ("one client, p50", "one client, p99", "8 clients", "start", "memory"),
    )
    # Against the handler alone, local AWS's Ray adapter, and Ray Serve if it is installed.
    image = ("one client, p50", *server, *(server if importlib.util.find_spec("ray") else ()))
    groups = [("serve", handler), ("serving image", image)]
    if not torchserve.missing():
        groups = [groups[0], ("serving image", (*image, *server)), ("serve over HTTP", handler)]
    assert [result.name for result in results] == [
        f"{group}, efficientnet_lite0, {what}" for group, names in groups for what in names
    ]
    assert all(result.ours > 0 and result.peer > 0 for result in results)


@pytest.mark.parametrize(
    "answers",
    [{"difference": 0.001, "same_label": 1.0}, {"difference": 0.0, "same_label": 0.9}],
    ids=["probabilities", "labels"],
)
def test_different_predictions_stop_the_measurement(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, float]
) -> None:
    monkeypatch.setattr(classifier_jobs, "run_module", lambda *_: json.dumps(answers))
    with pytest.raises(RuntimeError, match="differ from those of the original network"):
        serve.check_answers(serve.Model("efficientnet_lite0", Path("model")), Path("photos"))


def test_missing_java_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "java is not on the PATH" in str(torchserve.missing())


def test_handler_that_can_not_start_is_reported(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(RuntimeError, match="The handler of ours exited with status 1"):
        with serve.worker("ours", tmp_path, photos):
            pass


def test_each_photo_is_timed_alone_and_through_endpoint_and_function(
    monkeypatch: pytest.MonkeyPatch, model: serve.Model
) -> None:
    """The added time is not checked, since it would be random while other tests run."""
    monkeypatch.setattr(
        classifier_jobs, "run_module", lambda *arguments: shutil.copytree(model.folder, arguments[-1])
    )
    times = local.measure(FEW)
    assert [len(each) for each in times] == [PHOTOS * FEW.rounds] * 3
    assert all(seconds > 0 for each in times for seconds in each)


def test_added_time_is_the_difference_for_the_same_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    times = ([0.01, 0.04, 0.02], [0.015, 0.05, 0.025], [0.02, 0.06, 0.03])
    monkeypatch.setattr(local, "measure", lambda options: times)
    by_endpoint, by_function = local.run(FEW)
    assert by_endpoint.name == "local, added by the endpoint, p50"
    assert (by_endpoint.ours, by_endpoint.peer, by_endpoint.ratio) == pytest.approx((5.0, 20.0, 4.0))
    assert by_function.name == "local, added by function and endpoint, p50"
    assert (by_function.ours, by_function.peer, by_function.ratio) == pytest.approx((10.0, 20.0, 2.0))


def test_non_positive_added_time_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="too busy to measure what the endpoint adds"):
        local.added("the endpoint", [0.01], [0.02])


def test_closed_connection_is_opened_again() -> None:
    class Hasty(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
            self.close_connection = True  # without saying so

    with HTTPServer(("127.0.0.1", 0), Hasty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Client(server.server_port) as client:
                answers = [client.post("/", b"x" * 100_000, "image/jpeg") for _ in range(3)]
        finally:
            server.shutdown()
            thread.join()
    assert answers == [b"ok"] * 3
