"""The smoke test: which images it sends, and which answers it accepts."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from include.pipeline.settings import Project, SmokeTest
from include.pipeline.smoke_test import (
    Expected,
    SmokeTestError,
    held_out_images,
    invoke_version,
    run_smoke_test,
    too_few_right,
    verdict,
)
from include.pipeline.waiting import StepState
from tests.include.pipeline.processes import done
from tests.include.pipeline.staged import put_data_set

CLASSES = ["001.Robin", "002.Wren"]
PATHS = [f"{split}/{label}/{i}.jpg" for split in ("train", "test") for label in CLASSES for i in (1, 2)]


REFUSALS = {"bm90IGFuIGltYWdl": 400, "http://127.0.0.1/image.jpg": 400}


class FakeFunction:
    """A Lambda client whose function answers each image with the result of a callable."""

    exceptions = SimpleNamespace(
        ProvisionedConcurrencyConfigNotFoundException=StopIteration, ResourceNotFoundException=KeyError
    )

    def __init__(
        self,
        answer: Any,
        refusals: dict[str, int] | None = None,
        batch: Any = None,
        qualifier: str = "live",
        log: str = "",
    ) -> None:
        self.answer = answer
        self.qualifier = qualifier
        self.log = log
        self.refusals = refusals or REFUSALS
        self.batch = batch
        self.images = 0
        self.events: list[dict[str, Any]] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.provisioned: Iterator[dict[str, Any]] = iter([])

    def get_provisioned_concurrency_config(self, **_: Any) -> dict[str, Any]:
        return next(self.provisioned)

    def get_alias(self, **_: Any) -> dict[str, Any]:
        return {"RoutingConfig": {"AdditionalVersionWeights": {"1": 1.0}}}

    def invoke(self, *, FunctionName: str, Qualifier: str, Payload: str, LogType: str) -> dict[str, Any]:
        assert (FunctionName, Qualifier, LogType) == ("birds", self.qualifier, "Tail")
        answer = self._answer(json.loads(Payload))
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        log = base64.b64encode(self.log.encode()).decode()
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), "LogResult": log, **failed}

    def _answer(self, event: Any) -> Any:
        if isinstance(event, list):
            self.batches.append(event)
            return self.batch or [self.answer(0) for _ in event]
        self.events.append(event)
        [sent] = event.values()
        if sent in self.refusals:
            return {"error": "no", "status": self.refusals[sent]}
        self.images += 1
        return self.answer(self.images - 1)


def predicting(label: str, model: str = "model-1") -> dict[str, Any]:
    return {"predictions": [{"label": label, "probability": 0.9}], "model": model}


@pytest.fixture
def data(s3: Any) -> str:
    return put_data_set(s3, "bucket", PATHS)


def test_images_are_of_the_test_split_and_of_each_class_before_a_second_of_any() -> None:
    chosen = held_out_images(PATHS, 3)
    assert chosen == ["test/001.Robin/1.jpg", "test/002.Wren/1.jpg", "test/001.Robin/2.jpg"]


def test_with_fewer_images_than_classes_they_are_spread_over_the_classes() -> None:
    paths = [f"test/{label:03d}/1.jpg" for label in range(100)]
    assert held_out_images(paths, 4) == [f"test/{label:03d}/1.jpg" for label in (0, 25, 50, 75)]


def expected(data: str, low: float = 0.8) -> Expected:
    return Expected(data=data, model="model-1", accuracy_interval=(low, 1.0))


def right(i: int) -> dict[str, Any]:
    return predicting(CLASSES[i % 2])


def test_correct_predictions_pass(project: Project, s3: Any, data: str) -> None:
    function = FakeFunction(right)
    result = run_smoke_test(project, expected(data), s3, function, StepState())
    assert result.accuracy == 1
    assert [(request.truth, request.label) for request in result.requests[:2]] == list(
        zip(CLASSES, CLASSES, strict=True)
    )
    assert function.events[-2:] == [{"image": "bm90IGFuIGltYWdl"}, {"url": "http://127.0.0.1/image.jpg"}]
    assert [len(batch) for batch in function.batches] == [4]


def record(s3: Any, **answers: tuple[str, float]) -> str:
    """Put what evaluation recorded to S3, by class."""
    content = {
        path.removeprefix("test/"): {"label": label, "probability": probability}
        for path in PATHS
        for name, (label, probability) in answers.items()
        if name in path
    }
    s3.put_object(Bucket="bucket", Key="evaluate/answers.json", Body=json.dumps(content))
    return "s3://bucket/evaluate/answers.json"


def test_answers_as_evaluation_recorded_them_pass(project: Project, s3: Any, data: str) -> None:
    answers = record(s3, Robin=("001.Robin", 0.915), Wren=("002.Wren", 0.9))
    found = run_smoke_test(
        project, replace(expected(data), answers=answers), s3, FakeFunction(right), StepState()
    )
    assert (found.compared, found.largest_difference) == (4, pytest.approx(0.015))
    assert "recorded the answers to 4 of them; the probabilities differ by 0.015 at most" in verdict(
        found, "x"
    )


def test_two_labels_that_are_as_probable_may_change_places(project: Project, s3: Any, data: str) -> None:
    def close(i: int) -> dict[str, Any]:
        first, second = (CLASSES[i % 2], CLASSES[1 - i % 2])
        found = [{"label": first, "probability": 0.501}, {"label": second, "probability": 0.499}]
        return {"predictions": found, "model": "model-1"}

    answers = record(s3, Robin=("002.Wren", 0.502))
    found = run_smoke_test(
        project, replace(expected(data), answers=answers), s3, FakeFunction(close), StepState()
    )
    assert (found.compared, found.largest_difference) == (2, pytest.approx(0.003))


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        (
            ("001.Robin", 0.93),
            r"001.Robin with a probability of 0.9300, but the endpoint predicts 001.Robin with 0.9000",
        ),
        (
            ("001.Robin", 0.87),
            r"a probability of 0.8700, .* and 001.Robin with 0.9000. They may differ by 0.02",
        ),
        (
            ("002.Wren", 0.9),
            r"002.Wren with a .* predicts 001.Robin with 0.9000, and 002.Wren with none",
        ),
    ],
    ids=["less sure", "surer", "another label"],
)
def test_another_answer_than_evaluation_recorded_fails(
    project: Project, s3: Any, data: str, recorded: tuple[str, float], message: str
) -> None:
    answers = record(s3, Robin=recorded)
    with pytest.raises(SmokeTestError, match=f"differs from the evaluated model. For test/001.*{message}"):
        run_smoke_test(
            project, replace(expected(data), answers=answers), s3, FakeFunction(right), StepState()
        )


@pytest.mark.parametrize("answers", [None, "s3://bucket/of-an-earlier-release/answers.json"])
def test_without_recorded_answers_it_says_so(
    project: Project, s3: Any, data: str, answers: str | None
) -> None:
    found = run_smoke_test(
        project, replace(expected(data), answers=answers), s3, FakeFunction(right), StepState()
    )
    assert (found.compared, found.largest_difference) == (0, None)
    assert "Evaluation recorded no answers to compare them with." in verdict(found, "x")


def test_no_request_is_sent_before_the_alias_has_moved(project: Project, s3: Any, data: str) -> None:
    """During the move, the previous version would answer, and be mistaken for the new one."""
    function, pauses = FakeFunction(right), []

    def pause(seconds: float) -> None:
        pauses.append(len(function.events) + len(function.batches))

    function.provisioned = iter([{"Status": "IN_PROGRESS"}, {"Status": "IN_PROGRESS"}])
    done(run_smoke_test, project, expected(data), s3, function, sleep=pause)
    assert pauses == [0, 0]


def test_an_image_too_large_for_an_event_is_sent_as_its_s3_uri(project: Project, s3: Any, data: str) -> None:
    s3.put_object(Bucket="bucket", Key="data/test/001.Robin/1.jpg", Body=b"x" * 4_000_001)
    function = FakeFunction(right)
    run_smoke_test(project, expected(data), s3, function, StepState())
    assert function.events[0] == {"s3": "s3://bucket/data/test/001.Robin/1.jpg"}
    assert function.events[1] == {"image": "aW1hZ2U="}


def test_a_batch_holds_no_more_than_fits_in_an_event(project: Project, s3: Any, data: str) -> None:
    for path in PATHS:
        s3.put_object(Bucket="bucket", Key=f"data/{path}", Body=b"x" * 3_000_000)
    function = FakeFunction(right)
    run_smoke_test(project, expected(data), s3, function, StepState())
    assert [len(batch) for batch in function.batches] == [1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(predicting("002.Wren"), "2 of 4 predictions for test images", id="half of them wrong"),
        pytest.param(
            predicting("001.Robin", "model-0"),
            "model-0 answered, but model-1 was deployed",
            id="another model",
        ),
        pytest.param(predicting("007.Owl"), "not a prediction for a class", id="unknown label"),
        pytest.param(
            {"predictions": ["001.Robin"], "model": "model-1"}, "not a prediction", id="another shape"
        ),
        pytest.param({"error": "broken", "status": 502}, "expected predictions", id="error"),
        pytest.param({"errorMessage": "Task timed out"}, "failed: Task timed out", id="function failed"),
    ],
)
def test_wrong_answers_fail_and_are_reported(
    project: Project, s3: Any, data: str, answer: Any, message: str
) -> None:
    function = FakeFunction(lambda _: answer, batch=[right(0)] * 4)
    with pytest.raises(SmokeTestError, match=message):
        run_smoke_test(project, expected(data, low=0.99), s3, function, StepState())


@pytest.mark.parametrize(
    "batch", [pytest.param([right(0)] * 3, id="too few"), pytest.param(right(0), id="one for all")]
)
def test_a_batch_gets_an_answer_for_each_of_its_images(
    project: Project, s3: Any, data: str, batch: Any
) -> None:
    with pytest.raises(SmokeTestError, match="The answer to a batch of 4 images is"):
        run_smoke_test(project, expected(data), s3, FakeFunction(right, batch=batch), StepState())


@pytest.mark.parametrize("wrong", sorted(REFUSALS))
@pytest.mark.parametrize("status", [200, 502])
def test_an_invalid_request_must_be_a_client_error(
    project: Project, s3: Any, data: str, wrong: str, status: int
) -> None:
    function = FakeFunction(right, refusals={**REFUSALS, wrong: status})
    with pytest.raises(SmokeTestError, match="expected a status from 400 to 499"):
        run_smoke_test(project, expected(data), s3, function, StepState())


def test_answers_that_take_too_long_fail(project: Project, s3: Any, data: str) -> None:
    def slowly(i: int) -> dict[str, Any]:
        time.sleep(0.005)
        return right(i)

    impatient = project.model_copy(update={"smoke_test": SmokeTest(max_p95_ms=1)})
    with pytest.raises(SmokeTestError, match=r"at most 1 ms are allowed \(smoke_test.max_p95_ms\)"):
        run_smoke_test(impatient, expected(data), s3, FakeFunction(slowly), StepState())


@pytest.mark.parametrize(
    ("hits", "images", "promised", "too_few"),
    [
        pytest.param(10, 10, 0.99, False, id="all right"),
        pytest.param(9, 10, 0.9, False, id="as promised"),
        # By hand: 0.9^10 + 10 x 0.9^9 x 0.1 + ... for at most 5 right answers is 0.0016, for at most 6 it is 0.0128.
        pytest.param(6, 10, 0.9, False, id="just likely enough"),
        pytest.param(5, 10, 0.9, True, id="too unlikely"),
        pytest.param(0, 1, 0.95, False, id="one image proves little"),
        pytest.param(0, 10, 0.0, False, id="nothing was promised"),
    ],
)
def test_few_images_are_judged_by_the_probability_of_their_predictions(
    hits: int, images: int, promised: float, too_few: bool
) -> None:
    assert too_few_right(hits, images, promised) is too_few


def test_the_bound_is_that_of_the_exact_binomial_test() -> None:
    scipy = pytest.importorskip("scipy.stats", reason="scipy is not installed here")
    for hits in range(31):
        probability = scipy.binomtest(hits, 30, 0.8, alternative="less").pvalue
        assert too_few_right(hits, 30, 0.8) is bool(probability < 0.01)


def test_a_version_is_invoked_by_its_number_with_one_test_image(project: Project, s3: Any, data: str) -> None:
    function = FakeFunction(right, qualifier="7")
    assert invoke_version(project, "7", data, "model-1", s3, function).model_dump() == right(0)
    assert function.events == [{"image": "aW1hZ2U="}]


@pytest.mark.parametrize(
    ("answer", "log", "message"),
    [
        pytest.param(
            {
                "errorType": "Runtime.ImportModuleError",
                "errorMessage": "Unable to import module 'handler': No module named 'nowhere'",
                "requestId": "",
                "stackTrace": [],
            },
            "[ERROR] of no use here\n",
            "The function birds:7 failed: Runtime.ImportModuleError: Unable to import module 'handler': "
            "No module named 'nowhere'",
            id="named by the runtime",
        ),
        pytest.param(
            {
                "errorType": "Runtime.ExitError",
                "errorMessage": "RequestId: 1 Error: Runtime exited with error: exit status 2",
            },
            "INIT_START Runtime Version: python:3.12\nno license\nSTART RequestId: 1 Version: 7\n"
            "END RequestId: 1\nREPORT RequestId: 1\tDuration: 1 ms\n",
            "The function birds:7 failed: Runtime.ExitError: RequestId: 1 Error: Runtime exited with error: "
            "exit status 2. Its log ends with: no license",
            id="named in the log alone",
        ),
        pytest.param(
            {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 3.00 seconds"},
            "START RequestId: 1 Version: 7\n",
            "The function birds:7 failed: Sandbox.Timedout: Task timed out after 3.00 seconds",
            id="only in the error",
        ),
    ],
)
def test_a_failing_version_is_reported_with_its_own_error(
    project: Project, s3: Any, data: str, answer: Any, log: str, message: str
) -> None:
    function = FakeFunction(lambda _: answer, qualifier="7", log=log)
    with pytest.raises(SmokeTestError) as raised:
        invoke_version(project, "7", data, "model-1", s3, function)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param({"error": "busy", "status": 503}, "expected predictions", id="error"),
        pytest.param(predicting("002.Wren", "model-0"), "model-0 answered", id="another model"),
    ],
)
def test_a_version_must_reach_the_new_model(
    project: Project, s3: Any, data: str, answer: Any, message: str
) -> None:
    function = FakeFunction(lambda _: answer, qualifier="7")
    with pytest.raises(SmokeTestError, match=message):
        invoke_version(project, "7", data, "model-1", s3, function)
