"""One serving process: the adapter of AWS's Ray Serve image for a model's folder, without Ray.

``python ray_serving.py PORT MODEL_DIR WORKERS QUEUE`` imports the module that ``SM_RAYSERVE_APP=module:app`` names,
has its function ``asgi`` load the model, then listens, on a port or, with ``fd:NUMBER``, on a socket that it has
inherited; it ends with an error when the model can't be loaded. At most WORKERS requests are worked on at once and
QUEUE more wait; further ones are answered 503 at once, in Ray's words. WORKERS 0 stands for the number of processors.
It imports nothing of this repository, so that the model's code cannot either.

What the adapter does to a request is taken from AWS's ``sagemaker_serve.py``: it passes few headers on, takes a missing
content type for JSON, and reports its own errors as 500 and 504.
"""

import asyncio
import importlib
import json
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

APP_VARIABLE = "SM_RAYSERVE_APP"
ASGI = "asgi"
"""The function beside the application, which returns the same as an ASGI application."""
JSON_TYPE = "application/json"
PREFIX = "x-amzn-sagemaker-"


class Full(Exception):
    """All workers are busy and the queue holds no more."""


class Workers:
    """Who may work on a request: so many at once, so many more wait."""

    def __init__(self, workers: int, queue: int) -> None:
        self._turns = asyncio.Semaphore(workers)
        self._queue = queue
        self._places = workers + queue

    async def __aenter__(self) -> None:
        """Wait for a worker.

        :raises Full: at once, when the queue is full
        """
        if not self._places:
            raise Full(
                f"Request dropped due to backpressure (num_queued_requests={self._queue}, "
                f"max_queued_requests={self._queue})."
            )
        self._places -= 1
        try:
            await self._turns.acquire()
        except BaseException:
            self._places += 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._places += 1
        self._turns.release()


class Adapter:
    """Answers /ping and /invocations by an ASGI application."""

    def __init__(self, backend: ASGIApp, workers: Workers, seconds: float) -> None:
        self._backend = backend
        self._workers = workers
        self._seconds = seconds
        ping = Route("/ping", self._ping, methods=["GET"])
        ping.methods = {"GET"}  # without the HEAD that Starlette adds
        self.asgi = Starlette(
            routes=[ping, Route("/invocations", self._invoke, methods=["POST"])],
            exception_handlers={HTTPException: _detail},
        )

    async def _ping(self, request: Request) -> Response:
        return Response(media_type="text/plain")

    async def _invoke(self, request: Request) -> Response:
        body = await request.body()
        accept = request.headers.get("accept", JSON_TYPE)
        headers = {name: value for name, value in request.headers.items() if name.startswith(PREFIX)}
        headers |= {"content-type": request.headers.get("content-type", JSON_TYPE), "accept": accept}
        try:
            async with self._workers, asyncio.timeout(self._seconds):
                status, answered, content = await call(self._backend, body, headers)
        except Full as error:
            return Response(str(error), 503, media_type="text/plain")
        except TimeoutError:
            return _failure(504, "Request timeout")
        except Exception:
            # Ray's proxy answers so when a replica raises; the cause is in its log.
            traceback.print_exc()
            return Response("Internal Server Error", 500, media_type="text/plain")
        return Response(
            content,
            status,
            {name: value for name, value in answered.items() if name.startswith(PREFIX)},
            answered.get("content-type", accept),
        )


async def call(app: ASGIApp, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Send ``POST /`` to an ASGI application and return the status, the headers and the body of its answer."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"content-length", str(len(body)).encode()),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
        ],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 8000),
    }
    request: Message = {"type": "http.request", "body": body, "more_body": False}
    start: Message = {}
    content: list[bytes] = []

    async def receive() -> Message:
        return request

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            content.append(message.get("body", b""))

    await app(scope, receive, send)
    answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], answered, b"".join(content)


async def _detail(request: Request, error: Exception) -> Response:
    """Answer another path or method as FastAPI does, which AWS's adapter is made with."""
    assert isinstance(error, HTTPException)
    return Response(
        json.dumps({"detail": error.detail}), error.status_code, error.headers, media_type=JSON_TYPE
    )


def _failure(status: int, message: str) -> Response:
    return Response(json.dumps({"error": message}), status, media_type=JSON_TYPE)


def load(model_dir: Path, app: str) -> Any:
    """Import the application's module and return its ASGI application, with the model loaded.

    :param app: ``module:app``
    """
    sys.path[:0] = [str(model_dir), str(model_dir / "code")]  # AWS's PYTHONPATH
    name = app.partition(":")[0]
    module = importlib.import_module(name)
    if not hasattr(module, ASGI):
        sys.exit(
            f"{APP_VARIABLE} is {app}, but the module {name} has no function {ASGI}. Local AWS runs no Ray: define "
            f"{ASGI}(), which returns an ASGI application that answers POST /."
        )
    return getattr(module, ASGI)()


def listening(where: str) -> socket.socket:
    """Return a socket that listens on a port of this machine, or the inherited one that ``fd:NUMBER`` names."""
    if not where.startswith("fd:"):
        return socket.create_server(("127.0.0.1", int(where)), backlog=2048)
    inherited = socket.socket(fileno=int(where.removeprefix("fd:")))
    inherited.listen(2048)
    return inherited


def main(where: str, model_dir: Path, workers: int, queue: int) -> None:
    """Load the model and serve it until the process is ended."""
    backend = load(model_dir, os.environ[APP_VARIABLE])
    workers = workers or len(os.sched_getaffinity(0))
    seconds = float(os.environ.get("RAYSERVE_BACKEND_TIMEOUT", "300"))
    adapter = Adapter(backend, Workers(workers, queue), seconds)
    print(f"model loaded from {model_dir}", flush=True)
    config = uvicorn.Config(adapter.asgi, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening(where)])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
