"""The smoke test: send real requests through the released function, and check the answers."""

from __future__ import annotations

import base64
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from pydantic import TypeAdapter

from include.aws.documents import AwsAnswer
from include.pipeline import function_alias
from include.pipeline.data.manifest import read_manifest
from include.pipeline.errors import PermanentError
from include.pipeline.names import ALIAS, function_name, split_s3_uri
from include.pipeline.results import FunctionAnswer, Prediction, SmokeTestRequest, SmokeTestResult
from include.pipeline.settings import Project
from include.pipeline.waiting import StepState

MAX_EVENT_IMAGE_BYTES = 4_000_000
"""A function's event may have 6 MB, and base64 turns three bytes into four."""
MAX_BATCH_BYTES = 5_600_000
BATCH_IMAGES = 4
TOLERANCE = 0.02
"""How far a probability may be from what the evaluation recorded for the same image. Another version of PyTorch
differs by less than 0.000001, and a GPU that rounds factors to 10 bits (TF32) by some thousandths."""
SIGNIFICANCE = 0.01
"""The probability that a model with the evaluated accuracy fails by chance is at most this."""
LOG_LINES = 5
OF_LAMBDA = ("START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_START ", "INIT_REPORT ")
"""The first words of the lines that Lambda itself adds to a function's log."""
REFUSED = {
    "bytes that are not an image": {"image": base64.b64encode(b"not an image").decode()},
    # The endpoint must not fetch from private IP addresses.
    "a URL that must not be fetched": {"url": "http://127.0.0.1/image.jpg"},
}


class SmokeTestError(PermanentError):
    """Raised if a release gives a wrong answer; the message names the request and the answer."""


@dataclass(frozen=True)
class Expected:
    """The expectations that a release has to meet."""

    data: str
    """The prefix of the data set whose test images are sent."""
    model: str
    """The name of the model that must answer."""
    accuracy_interval: tuple[float, float]
    """The confidence interval that the evaluation measured on all test images."""
    answers: str | None = None
    """The S3 URI of ``answers.json``, the predictions that the evaluation recorded; None if it is unknown."""


def held_out_images(paths: Iterable[str], count: int) -> list[str]:
    """Return paths of test images from as many classes as possible; always the same for the same data set.

    :param paths: the paths of all images, each with its split and its class.
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        split, label, _ = path.split("/", 2)
        if split == "test":
            by_class[label].append(path)
    rounds = max(len(paths) for paths in by_class.values())
    # One image of each class before a second of any. With more classes than images, spread over the classes.
    labels = sorted(by_class)
    step = max(1, len(labels) // count)
    order = [label for offset in range(step) for label in labels[offset::step]]
    in_turn = [by_class[label][i] for i in range(rounds) for label in order if i < len(by_class[label])]
    return in_turn[:count]


def run_smoke_test(
    project: Project, expected: Expected, s3: Any, lambda_client: Any, state: StepState
) -> SmokeTestResult:
    """Send held-out images, one by one and as a batch, and invalid requests through the function's alias.

    :raises Pending: while the alias moves, because its calls still go to the previous version.
    :raises SmokeTestError: if an answer is not a prediction, comes from another model or differs from the recorded one,
        the accuracy is too low, the calls take too long, or an invalid request is not refused.
    :raises AliasError: if the alias does not send its calls to its version.
    """
    function_alias.wait_until_moved(project, lambda_client, state)
    manifest = read_manifest(expected.data, s3)
    paths = held_out_images((file["path"] for file in manifest.files), project.smoke_test.images)
    recorded, differences = _recorded(expected.answers, s3), []
    events = {path: _event(expected.data, path, s3) for path in paths}
    # The batch goes first, because the time limit does not apply to cold starts.
    _check_batch(
        project, list(events.values())[:BATCH_IMAGES], manifest.classes, expected.model, lambda_client
    )
    requests = []
    for path, event in events.items():
        answer, milliseconds = _ask(project, event, lambda_client)
        predictions = _check_answer(answer, manifest.classes, expected.model).predictions
        if promised := recorded.get(path.removeprefix("test/")):
            differences.append(_difference(path, predictions, promised))
        requests.append(
            SmokeTestRequest(
                image=path,
                truth=path.split("/")[1],
                label=predictions[0].label,
                probability=predictions[0].probability,
                milliseconds=milliseconds,
            )
        )
    for what, event in REFUSED.items():
        _check_refusal(what, _ask(project, event, lambda_client)[0])
    right = sum(request.right for request in requests)
    _check_accuracy(right, len(requests), expected.accuracy_interval)
    slowest = percentile_95([request.milliseconds for request in requests])
    if slowest > project.smoke_test.max_p95_ms:
        raise SmokeTestError(
            f"The 95th percentile of {len(requests)} calls took {slowest:.0f} ms; at most "
            f"{project.smoke_test.max_p95_ms:g} ms are allowed (smoke_test.max_p95_ms)."
        )
    return SmokeTestResult(
        accuracy=right / len(requests),
        milliseconds_p95=slowest,
        requests=requests,
        compared=len(differences),
        largest_difference=max(differences, default=None),
    )


def verdict(found: SmokeTestResult, model: str) -> str:
    """Return the result of a passed smoke test as text.

    :param model: the name of the model that has answered.
    """
    same = (
        f"Evaluation recorded the answers to {found.compared} of them; the probabilities differ by "
        f"{found.largest_difference:.2g} at most."
        if found.compared
        else "Evaluation recorded no answers to compare them with."
    )
    return (
        f"Passed: {model} is live, and {found.right} of {len(found.requests)} predictions for test images are correct. "
        f"{same} 95 % of the calls took at most {found.milliseconds_p95:.0f} ms."
    )


def invoke_version(
    project: Project, version: str, data: str, model: str, s3: Any, lambda_client: Any
) -> FunctionAnswer:
    """Invoke one version of the function with a test image, to start it before an alias points to it.

    :param version: the number of the version.
    :param data: the prefix of the data set whose test images are used.
    :param model: the name of the model that must answer.
    :raises SmokeTestError: if the version can't start, fails, or does not return a prediction of that model.
    """
    manifest = read_manifest(data, s3)
    [path] = held_out_images((file["path"] for file in manifest.files), 1)
    answer, _ = _ask(project, _event(data, path, s3), lambda_client, version)
    return _check_answer(answer, manifest.classes, model)


def too_few_right(right: int, images: int, promised: float) -> bool:
    """Return whether so few correct predictions are unlikely for a model with the promised accuracy.

    One-sided exact binomial test: the probability that such a model makes at most this number of correct predictions
    is less than 1 % (Clopper, Pearson: The use of confidence or fiducial limits illustrated in the case of the
    binomial, Biometrika 26, 1934).

    :param promised: the lower end of the interval that the evaluation measured.
    """
    tail = sum(
        math.comb(images, hits) * promised**hits * (1 - promised) ** (images - hits)
        for hits in range(right + 1)
    )
    return tail < SIGNIFICANCE


def percentile_95(values: list[float]) -> float:
    """Return the interpolated 95th percentile, or the value itself if there is only one."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _recorded(uri: str | None, s3: Any) -> dict[str, Prediction]:
    """What evaluation recorded, by an image's path below ``test/``; nothing if it was of an earlier release."""
    if uri is None:
        return {}
    bucket, key = split_s3_uri(uri)
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return {}
    return TypeAdapter(dict[str, Prediction]).validate_json(content)


def _difference(path: str, predictions: list[Prediction], promised: Prediction) -> float:
    """Return how much the probability of the recorded label differs; close labels may change their order.

    :raises SmokeTestError: if it differs by more than ``TOLERANCE``, or the label is not among the predictions.
    """
    label, probability = promised.label, promised.probability
    answered = next((one.probability for one in predictions if one.label == label), None)
    if answered is not None and abs(answered - probability) <= TOLERANCE:
        return abs(answered - probability)
    best = predictions[0]
    now = "none" if answered is None else format(answered, ".4f")
    raise SmokeTestError(
        f"The endpoint differs from the evaluated model. For {path}, the evaluation recorded {label} with a "
        f"probability of {probability:.4f}, but the endpoint predicts {best.label} with "
        f"{best.probability:.4f}, and {label} with {now}. They may differ by {TOLERANCE:g}."
    )


def _event(data: str, path: str, s3: Any) -> dict[str, str]:
    """Return the request for one image: with its bytes, or with its S3 URI if the image is too large."""
    bucket, prefix = split_s3_uri(data)
    content = s3.get_object(Bucket=bucket, Key=f"{prefix}/{path}")["Body"].read()
    if len(content) <= MAX_EVENT_IMAGE_BYTES:
        return {"image": base64.b64encode(content).decode()}
    return {"s3": f"{data}/{path}"}


def _ask(project: Project, event: Any, lambda_client: Any, qualifier: str = ALIAS) -> tuple[Any, float]:
    started = time.perf_counter()
    result = lambda_client.invoke(
        FunctionName=function_name(project), Qualifier=qualifier, Payload=json.dumps(event), LogType="Tail"
    )
    answer = json.loads(result["Payload"].read())
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    if "FunctionError" in result:
        raise SmokeTestError(
            f"The function {function_name(project)}:{qualifier} failed: {_function_error(answer, result)}"
        )
    return answer, milliseconds


def _function_error(error: AwsAnswer, result: AwsAnswer) -> str:
    """Return type and message of a function's error, with the end of its log if they can't name the cause."""
    named = ": ".join(error[key] for key in ("errorType", "errorMessage") if error.get(key))
    if (
        "stackTrace" in error
    ):  # Lambda's own errors, without one, only say that the process exited or timed out
        return named
    log = base64.b64decode(result.get("LogResult", "")).decode(errors="replace")
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith(OF_LAMBDA)]
    return f"{named}. Its log ends with: {' / '.join(lines[-LOG_LINES:])}" if lines else named


def _check_answer(answer: Any, classes: list[str], model: str) -> FunctionAnswer:
    if not isinstance(answer, dict) or not answer.get("predictions"):
        raise SmokeTestError(
            f"The answer to a test image is {json.dumps(answer)[:300]}; expected predictions."
        )
    if answer.get("model") != model:
        raise SmokeTestError(f"Model {answer.get('model')} answered, but {model} was deployed.")
    for prediction in answer["predictions"]:
        if not _is_prediction(prediction, classes):
            raise SmokeTestError(f"{prediction} is not a prediction for a class of this data set.")
    return FunctionAnswer.model_validate(answer)


def _is_prediction(found: Any, classes: list[str]) -> bool:
    if not isinstance(found, dict) or found.get("label") not in classes:
        return False
    probability = found.get("probability")
    return isinstance(probability, int | float) and 0 <= probability <= 1


def _check_batch(
    project: Project, events: list[dict[str, str]], classes: list[str], model: str, lambda_client: Any
) -> None:
    """Send several images in one request, as many as fit in an event."""
    batch: list[dict[str, str]] = []
    for event in events:
        if len(json.dumps([*batch, event])) <= MAX_BATCH_BYTES:
            batch.append(event)
    answers, _ = _ask(project, batch, lambda_client)
    if not isinstance(answers, list) or len(answers) != len(batch):
        raise SmokeTestError(
            f"The answer to a batch of {len(batch)} images is {json.dumps(answers)[:300]}; expected a list of "
            f"{len(batch)}."
        )
    for answer in answers:
        _check_answer(answer, classes, model)


def _check_refusal(what: str, answer: Any) -> None:
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, int) or not 400 <= status < 500:
        raise SmokeTestError(
            f"The answer to a request with {what} is {json.dumps(answer)[:300]}; expected a status from 400 to 499."
        )


def _check_accuracy(right: int, images: int, interval: tuple[float, float]) -> None:
    low, high = interval
    if too_few_right(right, images, low):
        raise SmokeTestError(
            f"{right} of {images} predictions for test images are correct. The evaluation measured an accuracy of "
            f"{low:.1%} to {high:.1%}. A model with this accuracy has so few correct predictions less than once in "
            f"{1 / SIGNIFICANCE:.0f} smoke tests."
        )
