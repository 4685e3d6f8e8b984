"""The smoke test: which images it sends, and which answers it lets pass."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from include.pipeline.settings import Project
from include.pipeline.smoke_test import SmokeTestError, held_out_images, run_smoke_test

CLASSES = ["001.Robin", "002.Wren"]
PATHS = [f"{split}/{label}/{i}.jpg" for split in ("train", "test") for label in CLASSES for i in (1, 2)]


class FakeFunction:
    """A function that answers each event by a callable, as Lambda's client would give it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.images = 0
        self.events: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, Qualifier: str, Payload: str) -> dict[str, Any]:
        assert (FunctionName, Qualifier) == ("birds", "live")
        event = json.loads(Payload)
        self.events.append(event)
        if event == {"image": "bm90IGFuIGltYWdl"}:
            answer: Any = {"error": "not an image", "status": 400}
        else:
            answer = self.answer(self.images)
            self.images += 1
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


def predicting(label: str, model: str = "model-1") -> dict[str, Any]:
    return {"predictions": [{"label": label, "probability": 0.9}], "model": model}


@pytest.fixture
def data(s3: Any) -> str:
    for path in PATHS:
        s3.put_object(Bucket="bucket", Key=f"data/{path}", Body=b"image")
    manifest = {"files": [{"path": path} for path in PATHS], "classes": CLASSES}
    s3.put_object(Bucket="bucket", Key="data/manifest.json", Body=json.dumps(manifest))
    return "s3://bucket/data"


def test_images_are_of_the_test_split_and_of_each_class_before_a_second_of_any() -> None:
    chosen = held_out_images({"files": [{"path": path} for path in PATHS]}, 3)
    assert chosen == ["test/001.Robin/1.jpg", "test/002.Wren/1.jpg", "test/001.Robin/2.jpg"]


def test_with_fewer_images_than_classes_they_are_spread_over_the_classes() -> None:
    files = [{"path": f"test/{label:03d}/1.jpg"} for label in range(100)]
    assert held_out_images({"files": files}, 4) == [f"test/{label:03d}/1.jpg" for label in (0, 25, 50, 75)]


def test_right_answers_pass(project: Project, s3: Any, data: str) -> None:
    function = FakeFunction(lambda i: predicting(CLASSES[i % 2]))
    result = run_smoke_test(project, data, "model-1", 0.9, s3, function)
    assert result["accuracy"] == 1
    assert [(request["truth"], request["label"]) for request in result["requests"][:2]] == list(
        zip(CLASSES, CLASSES, strict=True)
    )


def test_an_image_too_large_for_an_event_is_named_by_its_address(
    project: Project, s3: Any, data: str
) -> None:
    s3.put_object(Bucket="bucket", Key="data/test/001.Robin/1.jpg", Body=b"x" * 4_000_001)
    function = FakeFunction(lambda i: predicting(CLASSES[i % 2]))
    run_smoke_test(project, data, "model-1", 0.9, s3, function)
    assert function.events[0] == {"s3": "s3://bucket/data/test/001.Robin/1.jpg"}
    assert function.events[1] == {"image": "aW1hZ2U="}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(predicting("002.Wren"), "50% of 4 test images", id="half of them wrong"),
        pytest.param(
            predicting("001.Robin", "model-0"), "model-0 answered; model-1 was deployed", id="another model"
        ),
        pytest.param(predicting("007.Owl"), "not a prediction for a class", id="unknown label"),
        pytest.param({"error": "broken", "status": 502}, "in place of predictions", id="error"),
        pytest.param({"errorMessage": "Task timed out"}, "failed: Task timed out", id="function failed"),
    ],
)
def test_wrong_answers_fail_and_are_named(
    project: Project, s3: Any, data: str, answer: Any, message: str
) -> None:
    with pytest.raises(SmokeTestError, match=message):
        run_smoke_test(project, data, "model-1", 0.9, s3, FakeFunction(lambda _: answer))
