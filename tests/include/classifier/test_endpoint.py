"""The HTTP part says what computes, works on so many requests at once, and fails where the model can't answer."""

import asyncio
import json
import shutil
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from image_classifier import payload
from image_classifier.endpoint import ATTRIBUTES, Endpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.include.classifier.adapter import ray_serving
from tests.include.classifier.training import Trained


def ask(endpoint: Endpoint, *bodies: bytes) -> list[Any]:
    """Send photos at the same time and return the status, headers and body of each answer."""
    app = Starlette(routes=[Route("/", endpoint.answer, methods=["POST"])])

    async def run() -> list[Any]:
        calls = [ray_serving.call(app, body, {"content-type": "image/jpeg"}) for body in bodies]
        return await asyncio.gather(*calls)

    return asyncio.run(run())


def test_an_answer_names_what_computes(
    trained: Trained, photo: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    [(status, headers, _)] = ask(Endpoint(trained.model, threads=1), photo)

    assert (status, headers[ATTRIBUTES.lower()]) == (200, "runtime=onnxruntime;precision=fp32")
    assert capsys.readouterr().out == "The model is served by onnxruntime in fp32.\n"


def test_a_model_that_is_not_served_as_it_was_judged_warns(
    trained: Trained, photo: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    description = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**description, "serve": "int8"}))

    [(_, headers, _)] = ask(Endpoint(model, threads=1), photo)

    assert headers[ATTRIBUTES.lower()] == "runtime=torch;precision=fp32"
    assert "WARNING: model.json says int8" in capsys.readouterr().out


def test_a_model_that_cannot_compute_cannot_be_served(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_classifier.predictor.Predictor.probabilities", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        Endpoint(trained.model, threads=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_so_many_requests_are_computed_at_once(
    threads: int, trained: Trained, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = Endpoint(trained.model, threads)
    lock, now, seen = threading.Lock(), 0, []
    together = threading.Barrier(threads)
    prepare = endpoint.model.prepare

    def count(image: bytes) -> Any:
        nonlocal now
        with lock:
            now += 1
            seen.append(now)
        together.wait(30)
        with lock:
            now -= 1
        return prepare(image)

    monkeypatch.setattr(endpoint.model, "prepare", count)
    answers = ask(endpoint, *[photo] * 4)

    assert [status for status, _, _ in answers] == [200] * 4
    assert max(seen) == threads


def test_a_body_over_the_limit_is_received_to_its_end_but_not_kept(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "MAX_BODY_BYTES", 1_000_000)
    endpoint = Endpoint(trained.model, threads=1)
    chunk, left = bytes(100_000), list(range(200))

    async def receive() -> dict[str, Any]:
        left.pop()
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    request = Request(
        {"type": "http", "method": "POST", "headers": [(b"content-type", b"image/jpeg")]}, receive
    )
    tracemalloc.start()
    try:
        answer = asyncio.run(endpoint.answer(request))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (answer.status_code, left) == (413, [])
    assert most < 5_000_000
