"""A question that is asked again: the person sees what is asked now, and an answer is never lost."""

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
    """Fail the try as the scheduler does when it takes the task for lost."""
    instance.set(next_method=None, state="running")
    instance.report_success()
    assert instance.read() == "up_for_retry"


def resumed_with(instance: Instance) -> list[str]:
    """Return the answer that the task is resumed with."""
    assert instance.read() == "scheduled"
    return instance.read(lambda row: row.next_kwargs["event"]["chosen_options"])


class TestAnAnswer:
    def test_before_the_report_of_the_pause_resumes_the_same_try(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        assert resumed_with(instance) == ["Approve"]
        instance.start()
        instance.report_success()
        assert (instance.read(), instance.mismatches()) == ("running", 0)

    def test_after_the_report_of_the_pause_resumes_the_same_try(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.report_success()
        assert instance.read() == "awaiting_input"
        instance.answer("Reject")
        assert resumed_with(instance) == ["Reject"]

    def test_before_the_task_waits_is_what_it_acts_on(self, instance: Instance) -> None:
        assert instance.ask().status_code == 201
        instance.answer("Approve")
        instance.pause()
        assert resumed_with(instance) == ["Approve"]

    def test_is_what_a_retry_acts_on_that_asks_the_same(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        answer = instance.ask()
        assert (answer.status_code, answer.json()["body"]) == (201, SEEN_FIRST)
        instance.pause()
        assert resumed_with(instance) == ["Approve"]

    def test_given_between_two_tries_is_what_the_retry_acts_on(self, instance: Instance) -> None:
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

    def test_to_another_question_is_void(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        ask_and_pause(instance, SEEN_NOW)
        assert instance.read() == "awaiting_input"
        assert instance.question() == (SEEN_NOW, None)

    def test_is_asked_for_again_after_clear(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Reject")
        instance.clear()
        ask_and_pause(instance)
        assert instance.read() == "awaiting_input"
        assert instance.question() == (SEEN_FIRST, None)

    def test_after_clear_counts_for_the_tries_since(self, instance: Instance) -> None:
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
    def test_is_shown_as_it_is_asked_now(self, instance: Instance, again: str) -> None:
        ask_and_pause(instance)
        lose(instance)
        getattr(instance, again)()
        assert instance.ask(SEEN_NOW).json()["body"] == SEEN_NOW
        assert instance.question() == (SEEN_NOW, None)

    def test_stays_where_somebody_else_asks(self, instance: Instance) -> None:
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
def test_the_route_stores_a_question_only_if_it_is_known_whether_there_is_an_answer(
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
    """The faults of Airflow 3.3.2. When one of these fails, the guard against it can go."""

    @pytest.fixture
    def guarded(self) -> bool:
        return False

    def test_a_person_sees_the_question_of_the_first_try(self, instance: Instance) -> None:
        ask_and_pause(instance)
        lose(instance)
        instance.retry()
        instance.ask(SEEN_NOW)
        assert instance.question() == (SEEN_FIRST, None)

    def test_a_retry_erases_an_answer_that_no_try_has_acted_on(self, instance: Instance) -> None:
        ask_and_pause(instance)
        instance.answer("Approve")
        lose(instance)
        instance.retry()
        instance.ask()
        assert instance.question() == (SEEN_FIRST, None)
