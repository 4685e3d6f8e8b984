"""One serving process of AWS's PyTorch 2.6 image, for models that were registered for it.

Models for AWS's Ray Serve image are served by :mod:`include.local_aws.sagemaker.ray_serving`.

``python serving.py PORT MODEL_DIR WORKERS QUEUE`` loads ``MODEL_DIR/code/inference.py`` and the model first, then
listens, on a port or, with ``fd:NUMBER``, on a socket that it has inherited; it ends with an error when the model
cannot be loaded. At most WORKERS requests are worked on at once and QUEUE more wait; further ones are answered 503 at
once. WORKERS 0 sets no limit. It imports nothing of this repository, so that the model's code cannot either.
"""

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response


class Context:
    """What a handler is given, as the model server of AWS's container gives it.

    AWS's transformer keeps the context it was initialized with and hands it to every call of a function that
    takes one, so there is one for all requests; what belongs to a request is kept for its thread.
    """

    model_name = "model"

    def __init__(self, model_dir: Path) -> None:
        self.system_properties = {"model_dir": str(model_dir)}
        self.request_processor = [self]
        self._request = threading.local()

    def begin(self, headers: Mapping[str, str]) -> None:
        """Start a request on this thread."""
        self._request.headers = headers
        self._request.status = 200
        self._request.content_type = None

    @property
    def status(self) -> int:
        """The status to answer with."""
        status: int = self._request.status
        return status

    @property
    def content_type(self) -> str:
        """The content type to answer with."""
        return self._request.content_type or "text/plain"

    def get_request_properties(self) -> Mapping[str, str]:
        """Return the request's headers."""
        headers: Mapping[str, str] = self._request.headers
        return headers

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the status to answer with."""
        self._request.status = code

    def set_response_content_type(self, request_id: Any, value: str) -> None:
        """Set the content type to answer with."""
        self._request.content_type = value


class Full(Exception):
    """All workers are busy and the queue holds no more."""


class Workers:
    """Who may work on a request: so many at once, so many more wait.

    :param workers: 0 sets no limit.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._turns = threading.Semaphore(workers)
        self._places = threading.Semaphore(workers + queue) if workers else None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a worker, who is busy for the length of the block.

        :raises Full: at once, when the queue is full
        """
        if self._places is None:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise Full
        try:
            with self._turns:
                yield
        finally:
            self._places.release()


class RequestHandler(WSGIRequestHandler):
    """Answers without waiting for an ACK, and logs no line for each request."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave the log to the model's own lines."""


def listening(where: str) -> socket.socket:
    """Return a socket that listens on a port of this machine, or the inherited one that ``fd:NUMBER`` names."""
    if not where.startswith("fd:"):
        return socket.create_server(("127.0.0.1", int(where)), backlog=128)
    inherited = socket.socket(fileno=int(where.removeprefix("fd:")))
    inherited.listen(128)
    return inherited


def main(where: str, model_dir: Path, workers: Workers) -> None:
    """Load the model and serve it until the process is ended."""
    sys.path.insert(0, str(model_dir / "code"))
    from sagemaker_pytorch_serving_container.handler_service import HandlerService  # imports torch

    context = Context(model_dir)
    context.begin({})
    service = HandlerService()
    service.initialize(context)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Not in the environment: that would be a cycle, which keeps large bodies until a garbage collection.
        request = Request(environ, populate_request=False)
        if request.path == "/ping":
            return Response()(environ, start_response)
        body = request.get_data(cache=False)
        try:
            with workers.turn():
                context.begin(dict(request.headers))
                [answer] = service.handle([{"body": body}], context)
        except Full:
            return _busy()(environ, start_response)
        response = Response(answer, status=context.status, content_type=context.content_type)
        return response(environ, start_response)

    listener = listening(where)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=RequestHandler, fd=listener.fileno()
    )
    print(f"model loaded from {model_dir}", flush=True)
    server.serve_forever()


def _busy() -> Response:
    message = 'Model "model" has no worker to serve inference request.'
    document = {"code": 503, "type": "ServiceUnavailableException", "message": message}
    return Response(json.dumps(document), 503, content_type="application/json")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Workers(int(sys.argv[3]), int(sys.argv[4])))
