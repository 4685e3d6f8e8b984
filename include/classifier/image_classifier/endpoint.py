"""Answers HTTP requests by a saved classifier: the same handler behind every server.

Ray Serve calls :meth:`Endpoint.answer` in its replicas; a light ASGI server runs :func:`asgi`. Starlette is in AWS's
Ray Serve image.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import cpus, inference, payload
from .errors import RequestError

MODEL_DIR = Path(__file__).resolve().parents[2]
"""The unpacked model.tar.gz, whose folder ``code`` this module lies in."""

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
"""The header that SageMaker passes on to the caller; it names what computes."""


class ResponseContext:
    """Keeps the status that transform_fn sets."""

    status = 200

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code


class Endpoint:
    """A loaded model that has answered once, so that it can answer requests.

    :param model_dir: the unpacked model.tar.gz.
    :param threads: how many requests are worked on at once; further ones wait.
    :param wrap: returns what stands for the model, such as one that computes several requests together.
    :raises Exception: the model can't be loaded, or can't compute.
    """

    def __init__(
        self, model_dir: Path, threads: int, wrap: Callable[[Any], Any] = lambda model: model
    ) -> None:
        self.model = wrap(inference.model_fn(str(model_dir)))
        # The first forward pass is slower than all others, and fails where the weights don't fit the code.
        self.model.warm_up()
        served, promised = self.model.precision, self.model.promised_precision
        self._attributes = {ATTRIBUTES: f"runtime={self.model.runtime};precision={served}"}
        print(f"The model is served by {self.model.runtime} in {served}.", flush=True)
        if served != promised:
            print(
                f"WARNING: model.json says {promised}, which needs ONNX Runtime and no GPU. This is another model than "
                "one that was judged in it.",
                flush=True,
            )
        self._threads = anyio.CapacityLimiter(threads)

    async def answer(self, request: Request) -> Response:
        """Answer a request for predictions, as :func:`inference.transform_fn` documents it."""
        content_type = request.headers.get("content-type")
        # All of it is received, whatever is kept: a server that closes earlier makes the sender fail.
        length, body = 0, bytearray()
        async for chunk in request.stream():
            length += len(chunk)
            if length <= payload.MAX_BODY_BYTES:
                body += chunk
        try:
            payload.check_length(content_type, bytes(body[:64]), length)
        except RequestError as error:
            return self._response(json.dumps({"error": str(error)}), error.status)
        context = ResponseContext()
        answer, _ = await anyio.to_thread.run_sync(
            inference.transform_fn,
            self.model,
            bytes(body),
            content_type,
            payload.JSON_TYPE,
            context,
            limiter=self._threads,
        )
        return self._response(answer, context.status)

    def _response(self, answer: str, status: int) -> Response:
        return Response(answer, status, self._attributes, payload.JSON_TYPE)


def asgi() -> Starlette:
    """Load the model and return an ASGI application that answers ``POST /``."""
    endpoint = Endpoint(MODEL_DIR, cpus.available())
    return Starlette(routes=[Route("/", endpoint.answer, methods=["POST"])])
