"""The HTTP part of the serving image: ``/ping`` and ``/invocations``, answered by the code that the model brings.

The model's folder has ``code/image_classifier/endpoint.py``, which answers requests. This module says when: not before
the model has computed a prediction, and no more requests at once than there is room for.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from batching import BatchingModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CAN_NOT_LOAD = 3
"""The exit status by which a worker process ends the whole server: gunicorn's Arbiter.WORKER_BOOT_ERROR."""


class Application:
    """Answers requests in one worker process.

    :param model_dir: the unpacked model.tar.gz, whose folder ``code`` is on the module search path.
    :param cores: the processors of this process.
    :param at_once: how many requests are worked on at once, which is more than cores so that passes can be shared.
    :param queue: how many more wait; further ones are answered 503.
    :param workers: the number of worker processes.
    :param loaded: how many times a worker process has loaded the model, in all of them.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        cores: int,
        at_once: int,
        queue: int,
        workers: int,
        loaded: Synchronized[int],
    ) -> None:
        self._model_dir = model_dir
        self._cores = cores
        self._at_once = at_once
        self._places = at_once + queue
        self._capacity = self._places
        self._workers = workers
        self._loaded = loaded
        self._endpoint: Any = None
        self.asgi = Starlette(
            routes=[
                Route("/ping", self._ping, methods=["GET"]),
                Route("/invocations", self._invoke, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # Beside the server, so that /ping is answered meanwhile.
        threading.Thread(target=self._load, daemon=True).start()
        yield

    def _load(self) -> None:
        try:
            from image_classifier import endpoint

            self._endpoint = endpoint.Endpoint(
                self._model_dir, self._at_once, lambda model: BatchingModel(model, self._cores)
            )
        except BaseException:
            traceback.print_exc()
            print(f"The model in {self._model_dir} can't be loaded. Shutting down.", flush=True)
            os._exit(CAN_NOT_LOAD)
        with self._loaded.get_lock():
            self._loaded.value += 1

    async def _ping(self, _: Request) -> Response:
        # All workers: requests would reach those that still load the model.
        if self._endpoint is None or self._loaded.value < self._workers:
            return _sentence(503, "The model is being loaded.")
        return Response(status_code=200)

    async def _invoke(self, request: Request) -> Response:
        if self._endpoint is None:
            return await _refuse(request, "The model is being loaded. Try again shortly.")
        if not self._places:
            return await _refuse(
                request, f"{self._capacity} requests are under way, as many as fit. Try again shortly."
            )
        self._places -= 1
        try:
            answer: Response = await self._endpoint.answer(request)
            return answer
        finally:
            self._places += 1


async def _refuse(request: Request, message: str) -> Response:
    # The body is received and dropped: a server that closes earlier makes the sender fail.
    async for _ in request.stream():
        pass
    return _sentence(503, message)


def _sentence(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
