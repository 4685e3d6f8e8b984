"""Real requests through the released function, and what a good release answers to them."""

from __future__ import annotations

import base64
import json
import time
from collections import defaultdict
from typing import Any

from include.pipeline.errors import PermanentError
from include.pipeline.names import ALIAS, function_name, split_s3_uri
from include.pipeline.settings import Project
from include.pipeline.staging import read_manifest

MAX_EVENT_IMAGE_BYTES = 4_000_000
"""A function's event may have 6 MB, and base64 makes four bytes of three."""


class SmokeTestError(PermanentError):
    """A release that answers wrongly; the message says to what, and how."""


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


def run_smoke_test(
    project: Project, data: str, model: str, evaluated_accuracy: float, s3: Any, lambda_client: Any
) -> dict[str, Any]:
    """Send held-out images, and one request that is wrong, through the function's alias.

    :param data: the staged data set's prefix.
    :param model: the name of the model that must answer.
    :param evaluated_accuracy: what evaluation measured on all test images.
    :return: ``accuracy`` on these images and ``requests``: image, truth, label, probability and milliseconds of each.
    :raises SmokeTestError: if any answer is not one, comes from another model, or accuracy is too low.
    """
    manifest = read_manifest(data, s3)
    bucket, prefix = split_s3_uri(data)
    requests = []
    for path in held_out_images(manifest, project.smoke_test.images):
        content = s3.get_object(Bucket=bucket, Key=f"{prefix}/{path}")["Body"].read()
        if len(content) <= MAX_EVENT_IMAGE_BYTES:
            event = {"image": base64.b64encode(content).decode()}
        else:
            event = {"s3": f"{data}/{path}"}
        answer, milliseconds = _ask(project, event, lambda_client)
        _check_answer(answer, manifest["classes"], model)
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
    _check_refusal(_ask(project, {"image": base64.b64encode(b"not an image").decode()}, lambda_client)[0])
    accuracy = sum(request["truth"] == request["label"] for request in requests) / len(requests)
    lowest = evaluated_accuracy - project.smoke_test.max_accuracy_drop
    if accuracy < lowest:
        raise SmokeTestError(
            f"{accuracy:.0%} of {len(requests)} test images came back right; evaluation measured "
            f"{evaluated_accuracy:.0%}, so at least {lowest:.0%} must."
        )
    return {"accuracy": accuracy, "requests": requests}


def _ask(project: Project, event: dict[str, Any], lambda_client: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    result = lambda_client.invoke(
        FunctionName=function_name(project), Qualifier=ALIAS, Payload=json.dumps(event)
    )
    answer = json.loads(result["Payload"].read())
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    if "FunctionError" in result:
        raise SmokeTestError(
            f"The function {function_name(project)} failed: {answer.get('errorMessage', answer)}"
        )
    return answer, milliseconds


def _check_answer(answer: Any, classes: list[str], model: str) -> None:
    if not isinstance(answer, dict) or not answer.get("predictions"):
        raise SmokeTestError(
            f"A test image was answered by {json.dumps(answer)[:300]} in place of predictions."
        )
    if answer.get("model") != model:
        raise SmokeTestError(f"Model {answer.get('model')} answered; {model} was deployed.")
    for prediction in answer["predictions"]:
        if prediction["label"] not in classes or not 0 <= prediction["probability"] <= 1:
            raise SmokeTestError(f"{prediction} is not a prediction for a class of this data set.")


def _check_refusal(answer: Any) -> None:
    if not isinstance(answer, dict) or answer.get("status") != 400:
        raise SmokeTestError(
            f"Something that is no image was answered by {json.dumps(answer)[:300]}; expected status 400."
        )
