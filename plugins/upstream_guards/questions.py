"""Show the current question of a human-in-the-loop task, and keep the answer to it.

The question of an ``HITLOperator`` belongs to its task instance. When a retry or a cleared task asks again, Airflow
3.3.2 keeps the text and the options of the first try and deletes the answer, even if no try has used it
(https://github.com/apache/airflow/pull/73235, open; no release has a fix).
"""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The route of Airflow's Execution API with which a task asks its question.
ASKING = re.compile(r"/execution/hitlDetails/(?P<instance>[0-9a-f-]{36})/?")

log = logging.getLogger(__name__)


class QuestionMiddleware:
    """
    Handle a question that the task instance has asked before.

    ============================================  ======================================================
    The question                                  Result
    ============================================  ======================================================
    has changed                                   the old question and its answer are deleted
    is the same, and has an answer                the answer is kept, and Airflow resumes the task with it
    is the same, but the task was cleared since   the answer is deleted, as in Airflow
    ============================================  ======================================================

    :param app: The application that handles all other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        asking = (
            ASKING.search(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        )
        if asking is None:
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        status = await self._reading_status(scope)
        if status >= 500:
            # The database is busy. If the route handled the request now, it would delete an answer. The task retries.
            await _answer(send, 503, b'{"detail": "The question of the task could not be read."}')
            return
        if status == 200:
            from anyio import to_thread

            stored = await to_thread.run_sync(partial(settle, UUID(asking["instance"]), body))
            if stored is not None:
                await _answer(send, 201, stored)
                return
        await self.app(scope, _replay(body, receive), send)

    async def _reading_status(self, scope: Scope) -> int:
        """Return the HTTP status for reading this task's question; 200 if it is allowed and the question exists."""
        import httpx

        names = (b"authorization", b"airflow-api-version")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() in names]
        transport = httpx.ASGITransport(self.app, root_path=scope.get("root_path", ""))
        async with httpx.AsyncClient(transport=transport, base_url="http://api-server.invalid") as client:
            return (await client.get(scope["path"], headers=headers)).status_code


def settle(instance_id: UUID, body: bytes) -> bytes | None:
    """
    Compare a task's question with the previous question of its task instance.

    :return: The stored question, in the format of the route, if its answer is to be kept; otherwise None, so that the
        route stores the new question.
    """
    from airflow.api_fastapi.execution_api.datamodels.hitl import HITLDetailRequest
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from pydantic import ValidationError

    try:
        asked = HITLDetailRequest.model_validate_json(body)
    except ValidationError:  # the route reports the error
        return None
    with create_session() as session:
        detail = session.get(HITLDetail, instance_id)
        instance = session.get(TaskInstance, instance_id)
        if detail is None or instance is None:
            return None
        stored = HITLDetailRequest.model_validate(detail)
        if stored.model_dump() != asked.model_dump():
            log.info("The question of %s has changed. Airflow shows the new one", instance)
            session.delete(detail)
            return None
        if detail.responded_at is None or detail.responded_at < _last_cleared(instance, session):
            return None
        log.info("The answer to the question of %s is kept", instance)
        return stored.model_dump_json().encode()


def _last_cleared(instance: Any, session: Any) -> Any:
    """Return the start of the first try after the last Clear, or of the very first try."""
    from airflow.models.taskinstancehistory import TaskInstanceHistory as History
    from sqlalchemy import select

    started = select(History.start_date).where(
        History.dag_id == instance.dag_id,
        History.run_id == instance.run_id,
        History.task_id == instance.task_id,
        History.map_index == instance.map_index,
        # A retry does not change it, and Clear increases it.
        History.max_tries == instance.max_tries,
        History.start_date.is_not(None),
    )
    return min([instance.start_date, *session.scalars(started)])


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive function that replays the body and then passes on further messages."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
