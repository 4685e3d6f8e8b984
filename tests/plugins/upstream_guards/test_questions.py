"""A question that is asked again is shown in its current version, and its answer is never lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient
from upstream_guards.questions import QuestionMiddleware

from tests.plugins.upstream_guards.conftest import Instance

SEEN_FIRST, SEEN_NOW = "Accuracy 0.91", "Accuracy 0.55"


def ask_and_pause(instance: Instance, body: str = SEEN_FIRST) -> None:
    assert instance.ask(body).status_code == 201
    instance.pause()


def lose(instance: Instance) -> None:
    """Fail the try as the scheduler does when it treats the task as lost."""
    instance.set(next_method=None, state="running")
    instance.report_success()
    assert instance.read() == "up_for_retry"


def resumed_with(instance: Instance) -> list[str]:
    """Return the answer with which the task is resumed."""
    assert instance.read() == "scheduled"
    return instance.read(lambda row: row.next_kwargs["event"]["chosen_options"])


class TestAnAnswer:
    def test_before_the_event_of_the_pause_resumes_the_same_try(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        assert resumed_with(instance) == ["Approve"]
        instance.start()
        instance.report_success()
        assert (instance.read(), instance.mismatches()) == ("running", 0)

    def test_after_the_event_of_the_pause_resumes_the_same_try(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.report_success()
        assert instance.read() == "awaiting_input"
        instance.answer("Reject")
        assert resumed_with(instance) == ["Reject"]

    def test_before_the_task_waits_is_used(self, instance: Instance) -> None:
        assert instance.ask().status_code == 201
        instance.answer("Approve")
        instance.pause()
        assert resumed_with(instance) == ["Approve"]

    def test_is_used_by_a_retry_with_the_same_question(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        answer = instance.ask()
        assert (answer.status_code, answer.json()["body"]) == (201, SEEN_FIRST)
        instance.pause()
        assert resumed_with(instance) == ["Approve"]

    def test_given_between_two_tries_is_used_by_the_retry(self, instance: Instance) -> None:
        ask_and_pause(instance)
        lose(instance)
        instance.answer("Reject")
        assert instance.read() == "up_for_retry"
        instance.retry()
        ask_and_pause(instance)
        assert resumed_with(instance) == ["Reject"]

    def test_survives_a_worker_that_sends_its_question_twice(self, instance: Instance) -> None:
        instance.ask()
        instance.answer("Approve")
        assert instance.ask().status_code == 201
        instance.pause()
        assert resumed_with(instance) == ["Approve"]

    def test_to_a_different_question_is_invalid(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        ask_and_pause(instance, SEEN_NOW)
        assert instance.read() == "awaiting_input"
        assert instance.question() == (SEEN_NOW, None)

    def test_is_requested_again_after_clear(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Reject")
        instance.clear()
        ask_and_pause(instance)
        assert instance.read() == "awaiting_input"
        assert instance.question() == (SEEN_FIRST, None)

    def test_after_clear_is_valid_for_later_tries(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Reject")
        instance.clear()
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        ask_and_pause(instance)
        assert resumed_with(instance) == ["Approve"]


class TestAQuestionThatChanged:
    @pytest.mark.parametrize("again", ["retry", "clear"])
    def test_is_shown_in_its_current_version(self, instance: Instance, again: str) -> None:
        ask_and_pause(instance)
        lose(instance)
        getattr(instance, again)()
        assert instance.ask(SEEN_NOW).json()["body"] == SEEN_NOW
        assert instance.question() == (SEEN_NOW, None)

    def test_is_kept_if_another_task_asks(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        assert instance.ask(SEEN_NOW, token="forged").status_code in (401, 403)
        assert instance.question() == (SEEN_FIRST, ["Approve"])


@pytest.mark.parametrize(
    ("reading", "reached", "status"),
    [
        pytest.param(500, ["GET"], 503, id="a busy database: the task asks again"),
        pytest.param(404, ["GET", "POST"], 201, id="no question yet"),
        pytest.param(401, ["GET", "POST"], 201, id="not allowed: the route says so"),
    ],
)
def test_route_stores_a_question_only_if_the_state_of_the_answer_is_known(
    reading: int, reached: list[str], status: int
) -> None:
    methods: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        methods.append(scope["method"])
        code = reading if scope["method"] == "GET" else 201
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    answer = TestClient(QuestionMiddleware(app)).post(f"/execution/hitlDetails/{UUID(int=1)}", json={})
    assert (methods, answer.status_code) == (reached, status)


class TestWithoutTheGuard:
    """The bugs in Airflow 3.3.2. When one of these tests fails, the guard can be removed."""

    @pytest.fixture
    def guarded(self) -> bool:
        return False

    def test_user_sees_the_question_of_the_first_try(self, instance: Instance) -> None:
        ask_and_pause(instance)
        lose(instance)
        instance.retry()
        instance.ask(SEEN_NOW)
        assert instance.question() == (SEEN_FIRST, None)

    def test_retry_deletes_an_unused_answer(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        instance.ask()
        assert instance.question() == (SEEN_FIRST, None)
