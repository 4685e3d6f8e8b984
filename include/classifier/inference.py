"""Serves a saved classifier in AWS's PyTorch inference container: model_fn and transform_fn."""

import json
import logging
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import payload
from errors import ClassifierError, RequestError
from predictor import Predictor

try:
    from sagemaker_inference import content_types

    # The toolkit decodes these bodies itself, before this module sees them, and answers a caller's bytes
    # that are not UTF-8 with status 500 and a stack trace. Here they get a 400 and a sentence.
    content_types.UTF8_TYPES = [kind for kind in content_types.UTF8_TYPES if kind != payload.JSON_TYPE]
except ImportError:  # evaluate.py runs this module without the toolkit
    pass

VERSION_VARIABLE = "MODEL_VERSION"

logger = logging.getLogger(__name__)


class Context(Protocol):
    """The part of the model server's context that is used here."""

    def set_response_status(self, code: int, phrase: str) -> None: ...


def model_fn(model_dir: str) -> Predictor:
    """Load the model from the unpacked model.tar.gz."""
    return Predictor(Path(model_dir))


def transform_fn(
    model: Predictor, body: bytes | str, content_type: str | None, accept: str, context: Context
) -> tuple[str, str]:
    """Answer one request, and return the JSON answer and its content type.

    A single image gets {"predictions": [{"label", "probability"}, ...], "model": version}, most probable
    first; a batch gets a list of those. Bad input gets a status of 400 to 499 and {"error": sentence}.
    """
    status = HTTPStatus.OK
    answer: Any
    try:
        answer = _predict(model, payload.read(body, content_type))
    except ClassifierError as error:
        status = HTTPStatus(error.status if isinstance(error, RequestError) else HTTPStatus.BAD_REQUEST)
        answer = {"error": str(error)}
    except Exception:  # the toolkit would send the caller the stack trace
        logger.exception("The model failed on a request")
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        answer = {"error": "The model failed on this request; the endpoint's log says why."}
    context.set_response_status(code=status.value, phrase=status.phrase)
    return json.dumps(answer), payload.JSON_TYPE


def _predict(model: Predictor, request: payload.Payload) -> Any:
    # One image is decoded at a time: sixteen of the largest allowed would take gigabytes.
    prepared = [
        _prepare(model, item.image, f"Item {number} of the batch: " if request.is_batch else "")
        for number, item in enumerate(request.items, start=1)
    ]
    probabilities = model.probabilities(prepared)
    answers = [
        {
            "predictions": _top(model.classes, row, item.top_k),
            "model": os.environ.get(VERSION_VARIABLE, "unversioned"),
        }
        for row, item in zip(probabilities, request.items, strict=True)
    ]
    return answers if request.is_batch else answers[0]


def _prepare(model: Predictor, image: bytes, prefix: str) -> np.ndarray:
    try:
        return model.prepare(image)
    except ClassifierError as error:
        raise RequestError(f"{prefix}{error}") from error


def _top(classes: list[str], probabilities: np.ndarray, top_k: int) -> list[dict[str, Any]]:
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return [{"label": classes[index], "probability": float(probabilities[index])} for index in order]
