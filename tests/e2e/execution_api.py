"""Let tasks that run in this process call Airflow's Execution API without other threads.

Airflow runs the API in an event loop in a thread of its own, which runs each route and each of its dependencies in a
third thread. Changing between these threads takes most of the processor time of a call.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import httpx
import pytest
from airflow import settings
from airflow.sdk.execution_time import supervisor
from fastapi import FastAPI
from fastapi.dependencies import utils as dependencies

_run_in_thread = anyio.to_thread.run_sync
_in_call: ContextVar[bool] = ContextVar("in_call", default=False)
"""Whether the app of a :class:`SameThread` handles a request."""


class SameThread(httpx.BaseTransport):
    """Calls an app in the thread of the caller."""

    def __init__(self, app: FastAPI) -> None:
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._app = httpx.ASGITransport(app)
        self._lifespan = AsyncExitStack()
        self._loop.run_until_complete(self._lifespan.enter_async_context(app.router.lifespan_context(app)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if asyncio._get_running_loop():  # noqa: SLF001
            # A trigger calls. One event loop can't run in another one.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(self._call, request).result()
        return self._call(request)

    def _call(self, request: httpx.Request) -> httpx.Response:
        with self._lock, _own_session():
            return self._loop.run_until_complete(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        _in_call.set(True)  # in the context of this task and of those that it starts
        answer = await self._app.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


@dataclass
class Api:
    """What Airflow needs of its ``InProcessExecutionAPI``."""

    app: FastAPI
    transport: SameThread


@contextmanager
def in_same_thread() -> Iterator[None]:
    """Let tasks call the API in their own thread."""
    api = _api()
    with pytest.MonkeyPatch.context() as patch:
        # Since some dependencies are replaced, FastAPI inspects the signature of each one in each call.
        patch.setattr(dependencies, "get_dependant", _inspecting_each_function_once())
        patch.setattr(supervisor, "in_process_api_server", lambda: api)
        patch.setattr(anyio.to_thread, "run_sync", _run_sync)
        yield


def use_after_fork(api: Api) -> None:
    """Let tasks of a child process call the API with an event loop of this process."""
    mine = Api(api.app, SameThread(api.app))
    supervisor.in_process_api_server = lambda: mine


@functools.cache
def _api() -> Api:
    app = supervisor.in_process_api_server().app
    return Api(app, SameThread(app))


def _inspecting_each_function_once() -> Callable[..., Any]:
    inspect_function, found = dependencies.get_dependant, {}

    def inspect_once(*, call: Callable[..., Any], **options: Any) -> Any:
        key = (
            call,
            *sorted(
                (name, tuple(value) if isinstance(value, list) else value) for name, value in options.items()
            ),
        )
        if key not in found:
            found[key] = inspect_function(call=call, **options)
        return found[key]

    return inspect_once


async def _run_sync(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of the API, instead of letting a thread call it."""
    if _in_call.get():
        return function(*arguments)
    return await _run_in_thread(function, *arguments, **options)


@contextmanager
def _own_session() -> Iterator[None]:
    """Give the API another session of the database than its caller has, as in a thread of its own."""
    sessions = settings.Session.registry
    callers = sessions() if sessions.has() else None
    sessions.clear()
    try:
        yield
    finally:
        settings.Session.remove()
        if callers:
            sessions.set(callers)
