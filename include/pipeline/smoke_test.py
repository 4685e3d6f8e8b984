"""Real requests through the released function, and what a good release answers to them."""

from __future__ import annotations

import base64
import json
import math
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from include.pipeline import function_alias
from include.pipeline.data.staging import read_manifest
from include.pipeline.errors import PermanentError
from include.pipeline.names import ALIAS, function_name, split_s3_uri
from include.pipeline.settings import Project

MAX_EVENT_IMAGE_BYTES = 4_000_000
"""A function's event may have 6 MB, and base64 makes four bytes of three."""
MAX_BATCH_BYTES = 5_600_000
BATCH_IMAGES = 4
SIGNIFICANCE = 0.01
"""How often, at most, a model that is as good as evaluation promised fails by chance."""
LOG_LINES = 5
OF_LAMBDA = ("START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_START ", "INIT_REPORT ")
"""How lines begin that Lambda itself adds to a function's log."""
REFUSED = {
    "something that is no image": {"image": base64.b64encode(b"not an image").decode()},
    # A private address: the endpoint fetches from none.
    "an address that must not be fetched": {"url": "http://127.0.0.1/image.jpg"},
}


class SmokeTestError(PermanentError):
    """A release that answers wrongly; the message says to what, and how."""


@dataclass(frozen=True)
class Expected:
    """What a release has to live up to."""

    data: str
    """The prefix of the data set whose test images are asked about."""
    model: str
    """The name of the model that must answer."""
    accuracy_interval: tuple[float, float]
    """What evaluation measured on all test images."""


def held_out_images(manifest: dict[str, Any], count: int) -> list[str]:
    """Paths of test images, of as many different classes as possible; always the same for the same manifest."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for file in manifest["files"]:
        split, label, _ = file["path"].split("/", 2)
        if split == "test":
            by_class[label].append(file["path"])
    rounds = max(len(paths) for paths in by_class.values())
    # one of each class before a second of any; spread over the classes where there are more classes than images
    labels = sorted(by_class)
    step = max(1, len(labels) // count)
    order = [label for offset in range(step) for label in labels[offset::step]]
    in_turn = [by_class[label][i] for i in range(rounds) for label in order if i < len(by_class[label])]
    return in_turn[:count]


def run_smoke_test(project: Project, expected: Expected, s3: Any, lambda_client: Any) -> dict[str, Any]:
    """Send held-out images, one by one and as a batch, and requests that are wrong, through the function's alias.

    An alias that still moves is waited for, since its calls go to the version before.

    :return: ``accuracy`` on these images, ``milliseconds_p95`` and ``requests``: image, truth, label, probability and
        milliseconds of each.
    :raises SmokeTestError: if any answer is not one or comes from another model, accuracy is too low, the answers
        take too long, or what is wrong is not refused.
    :raises AliasError: if the alias does not send its calls to its version.
    """
    function_alias.wait_until_moved(project, lambda_client)
    manifest = read_manifest(expected.data, s3)
    paths = held_out_images(manifest, project.smoke_test.images)
    events = {path: _event(expected.data, path, s3) for path in paths}
    # The batch goes first: environments that have to start are not what the time limit is for.
    _check_batch(
        project, list(events.values())[:BATCH_IMAGES], manifest["classes"], expected.model, lambda_client
    )
    requests = []
    for path, event in events.items():
        answer, milliseconds = _ask(project, event, lambda_client)
        _check_answer(answer, manifest["classes"], expected.model)
        best = answer["predictions"][0]
        requests.append(
            {
                "image": path,
                "truth": path.split("/")[1],
                "label": best["label"],
                "probability": best["probability"],
                "milliseconds": milliseconds,
            }
        )
    for what, event in REFUSED.items():
        _check_refusal(what, _ask(project, event, lambda_client)[0])
    right = sum(request["truth"] == request["label"] for request in requests)
    _check_accuracy(right, len(requests), expected.accuracy_interval)
    slowest = percentile_95([request["milliseconds"] for request in requests])
    if slowest > project.smoke_test.max_p95_ms:
        raise SmokeTestError(
            f"The 95th percentile of {len(requests)} calls took {slowest:.0f} ms; at most "
            f"{project.smoke_test.max_p95_ms:g} ms are allowed (smoke_test.max_p95_ms)."
        )
    return {"accuracy": right / len(requests), "milliseconds_p95": slowest, "requests": requests}


def verdict(found: dict[str, Any], model: str) -> str:
    """The result of a smoke test that has passed, in one sentence.

    :param found: the answer of :func:`run_smoke_test`.
    :param model: the name of the model that has answered.
    """
    requests = found["requests"]
    right = sum(request["truth"] == request["label"] for request in requests)
    return (
        f"Passed: {model} is live, and {right} of {len(requests)} predictions for test images are correct. 95 % of the "
        f"calls took at most {found['milliseconds_p95']:.0f} ms."
    )


def invoke_version(
    project: Project, version: str, data: str, model: str, s3: Any, lambda_client: Any
) -> dict[str, Any]:
    """Invoke one version of the function with a test image, so that it has started before an alias points to it.

    :param version: the number of the version.
    :param data: the prefix of the data set whose test images are used.
    :param model: the name of the model that must answer.
    :return: the function's answer.
    :raises SmokeTestError: if the version can't start, fails, or answers anything but a prediction of that model.
    """
    manifest = read_manifest(data, s3)
    [path] = held_out_images(manifest, 1)
    answer, _ = _ask(project, _event(data, path, s3), lambda_client, version)
    _check_answer(answer, manifest["classes"], model)
    found: dict[str, Any] = answer
    return found


def too_few_right(right: int, images: int, promised: float) -> bool:
    """Whether so few right answers on N images are unlikely of a model with the promised accuracy.

    One-sided exact binomial test: such a model has at most so many right answers with a probability of less than 1 %
    (Clopper, Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika
    26, 1934).

    :param promised: the lower end of the interval that evaluation gave.
    """
    tail = sum(
        math.comb(images, hits) * promised**hits * (1 - promised) ** (images - hits)
        for hits in range(right + 1)
    )
    return tail < SIGNIFICANCE


def percentile_95(values: list[float]) -> float:
    """The 95th percentile, interpolated; of a single value that value."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _event(data: str, path: str, s3: Any) -> dict[str, str]:
    """The request for one image: with its bytes, or by its address if they are too many."""
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


def _function_error(error: dict[str, Any], result: dict[str, Any]) -> str:
    """Type and message of a function's error; the end of its log where they can't name the cause."""
    named = ": ".join(error[key] for key in ("errorType", "errorMessage") if error.get(key))
    if "stackTrace" in error:  # by Python; Lambda's own say only that the process exited or timed out
        return named
    log = base64.b64decode(result.get("LogResult", "")).decode(errors="replace")
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith(OF_LAMBDA)]
    return f"{named}. Its log ends with: {' / '.join(lines[-LOG_LINES:])}" if lines else named


def _check_answer(answer: Any, classes: list[str], model: str) -> None:
    if not isinstance(answer, dict) or not answer.get("predictions"):
        raise SmokeTestError(
            f"A test image was answered by {json.dumps(answer)[:300]} in place of predictions."
        )
    if answer.get("model") != model:
        raise SmokeTestError(f"Model {answer.get('model')} answered; {model} was deployed.")
    for prediction in answer["predictions"]:
        if not _is_prediction(prediction, classes):
            raise SmokeTestError(f"{prediction} is not a prediction for a class of this data set.")


def _is_prediction(found: Any, classes: list[str]) -> bool:
    if not isinstance(found, dict) or found.get("label") not in classes:
        return False
    probability = found.get("probability")
    return isinstance(probability, int | float) and 0 <= probability <= 1


def _check_batch(
    project: Project, events: list[dict[str, str]], classes: list[str], model: str, lambda_client: Any
) -> None:
    """Ask about several images at once, as many as fit in an event."""
    batch: list[dict[str, str]] = []
    for event in events:
        if len(json.dumps([*batch, event])) <= MAX_BATCH_BYTES:
            batch.append(event)
    answers, _ = _ask(project, batch, lambda_client)
    if not isinstance(answers, list) or len(answers) != len(batch):
        raise SmokeTestError(
            f"A batch of {len(batch)} images was answered by {json.dumps(answers)[:300]} in place of a list of as many."
        )
    for answer in answers:
        _check_answer(answer, classes, model)


def _check_refusal(what: str, answer: Any) -> None:
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, int) or not 400 <= status < 500:
        raise SmokeTestError(
            f"The request with {what} was answered by {json.dumps(answer)[:300]}; expected a status from 400 to 499."
        )


def _check_accuracy(right: int, images: int, interval: tuple[float, float]) -> None:
    low, high = interval
    if too_few_right(right, images, low):
        raise SmokeTestError(
            f"{right} of {images} test images came back right. Evaluation measured an accuracy of {low:.1%} to "
            f"{high:.1%}; a model that has it answers so few rightly less than once in {1 / SIGNIFICANCE:.0f} times."
        )
