"""Answers requests by a saved classifier: model_fn and transform_fn, the functions of SageMaker's PyTorch handlers.

:mod:`endpoint` calls them for every request, the evaluation of a later model for every test image.
"""

import json
import logging
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import payload
from .errors import ClassifierError, RequestError
from .images import FormatError, inspect_image
from .predictor import Predictor

VERSION_VARIABLE = "MODEL_VERSION"

# The images of a batch together; of one, image_decoding limits both further. Four of the largest images take
# about 5 s to decode, as do two seconds of scans and the rest.
MAX_BATCH_DECODED_BYTES = 2_200_000_000
MAX_BATCH_SCANNED_PIXELS = 2_000_000_000

FAILURE = "The model failed on this request; the endpoint's log says why."

logger = logging.getLogger(__name__)


class Context(Protocol):
    """Takes the status of the answer."""

    def set_response_status(self, code: int, phrase: str) -> None: ...


def model_fn(model_dir: str) -> Predictor:
    """Load the model from the unpacked model.tar.gz."""
    return Predictor(Path(model_dir))


def transform_fn(
    model: Predictor, body: bytes | str | None, content_type: str | None, accept: str, context: Context
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
    except Exception:  # a server would answer with a stack trace, or without a sentence
        logger.exception("The model failed on a request")
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        answer = {"error": FAILURE}
    context.set_response_status(code=status.value, phrase=status.phrase)
    return json.dumps(answer), payload.JSON_TYPE


def _predict(model: Predictor, request: payload.Payload) -> Any:
    if request.is_batch:
        check_batch(request.items)
    # One image is decoded at a time: sixteen of the largest allowed would take gigabytes.
    prepared = [
        _prepare(model, item.image, _prefix(number) if request.is_batch else "")
        for number, item in enumerate(request.items, start=1)
    ]
    probabilities = model.probabilities(prepared)
    answers = [
        {
            "predictions": top(model.classes, row, item.top_k),
            "model": os.environ.get(VERSION_VARIABLE, "unversioned"),
        }
        for row, item in zip(probabilities, request.items, strict=True)
    ]
    return answers if request.is_batch else answers[0]


def check_batch(items: list[payload.Item]) -> None:
    """Raise if the images together would take too long to decode."""
    headers = []
    for number, item in enumerate(items, start=1):
        try:
            headers.append(inspect_image(item.image))
        except ClassifierError as error:
            raise _refusal(_prefix(number), error) from error
    if (
        sum(header.decoded_bytes for header in headers) > MAX_BATCH_DECODED_BYTES
        or sum(header.scanned_pixels for header in headers) > MAX_BATCH_SCANNED_PIXELS
    ):
        pixels = sum(header.width * header.height for header in headers)
        raise RequestError(
            f"The images of the batch have {pixels:,} pixels, which take too long to decode; "
            f"send them smaller or one by one.",
            status=413,
        )


def _prefix(number: int) -> str:
    return f"Item {number} of the batch: "


def _prepare(model: Predictor, image: bytes, prefix: str) -> np.ndarray:
    try:
        return model.prepare(image)
    except ClassifierError as error:
        raise _refusal(prefix, error) from error


def _refusal(prefix: str, error: ClassifierError) -> RequestError:
    is_format = isinstance(error, FormatError)
    return RequestError(
        f"{prefix}{error}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE if is_format else HTTPStatus.BAD_REQUEST
    )


def top(classes: list[str], probabilities: np.ndarray, top_k: int) -> list[dict[str, Any]]:
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return [{"label": classes[index], "probability": float(probabilities[index])} for index in order]
