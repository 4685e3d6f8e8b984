"""Asking people: when, with which options, and what an answer or a timeout comes to."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from human_input.operators import AskOperator

CONTEXT: Any = {"task_instance": SimpleNamespace(id="ti-1"), "versions": ["2: old", "1: older"]}
ANSWERED = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The questions that would go to Airflow's API, which is not there in this test."""
    questions: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **question: questions.append(question))
    return questions


def operator(**kwargs: Any) -> AskOperator:
    kwargs = {"options": ["Approve", "Reject"], "defaults": "Reject", **kwargs}
    return AskOperator(task_id="ask", subject="Shall it go live?", body="Good figures.", **kwargs)


def answer(*options: str, user: str | None = "anna") -> dict[str, Any]:
    """What the task is resumed with: the same for an answer and, without a user, for the timeout."""
    return {
        "chosen_options": list(options),
        "params_input": {},
        "responded_at": ANSWERED,
        "responded_by_user": user and {"id": "1", "name": user},
    }


class TestAskOperator:
    def test_template_fields(self) -> None:
        assert set(AskOperator.template_fields) == {"subject", "body"}

    def test_it_asks_and_waits_without_a_worker(self, asked: list[dict[str, Any]]) -> None:
        with pytest.raises(TaskAwaitingInput) as waiting:
            operator().execute(CONTEXT)
        assert waiting.value.method_name == "execute_complete"
        [question] = asked
        assert (question["options"], question["defaults"]) == (["Approve", "Reject"], ["Reject"])
        assert question["body"] == "Good figures."

    def test_nobody_is_asked_where_there_is_a_reason_not_to(self, asked: list[dict[str, Any]]) -> None:
        with pytest.raises(AirflowSkipException, match="Not wanted"):
            operator(skip=lambda context: "Not wanted.").execute(CONTEXT)
        assert asked == []

    def test_without_such_a_reason_it_asks(self, asked: list[dict[str, Any]]) -> None:
        with pytest.raises(TaskAwaitingInput):
            operator(skip=lambda context: None).execute(CONTEXT)
        assert len(asked) == 1

    def test_options_may_be_found_when_the_task_runs(self, asked: list[dict[str, Any]]) -> None:
        def choice() -> AskOperator:  # another process goes on than the one that asked
            return operator(options=lambda context: context["versions"], defaults=None)

        with pytest.raises(TaskAwaitingInput):
            choice().execute(CONTEXT)
        assert asked[0]["options"] == ["2: old", "1: older"]
        assert choice().execute_complete(CONTEXT, answer("1: older"))["chosen_options"] == ["1: older"]
        with pytest.raises(ValueError, match="3: new"):
            choice().execute_complete(CONTEXT, answer("3: new"))

    def test_a_question_without_options_is_refused(self, asked: list[dict[str, Any]]) -> None:
        with pytest.raises(ValueError, match="cannot be empty"):
            operator(options=lambda context: [], defaults=None).execute(CONTEXT)
        assert asked == []

    @pytest.mark.parametrize(
        ("event", "option", "user"),
        [
            pytest.param(answer("Approve"), "Approve", {"id": "1", "name": "anna"}, id="approved"),
            pytest.param(answer("Reject"), "Reject", {"id": "1", "name": "anna"}, id="rejected"),
            pytest.param(answer("Reject", user=None), "Reject", None, id="timed out"),
        ],
    )
    def test_any_answer_is_returned_with_who_and_when(
        self, event: dict[str, Any], option: str, user: dict[str, str] | None
    ) -> None:
        assert operator().execute_complete(CONTEXT, event) == {
            "chosen_options": [option],
            "params_input": {},
            "responded_by_user": user,
            "responded_at": "2026-11-24T20:00:00+00:00",
        }
