"""Human-in-the-loop tasks: when they ask, their options, and the result of an answer or a timeout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
from human_input.operators import AskOperator

ANSWERED = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
CONTEXT: Any = {
    "ti": SimpleNamespace(id=UUID(int=1), start_date=ANSWERED - timedelta(minutes=5)),
    "versions": ["2: old", "1: older"],
}
Asked = list[CreateHITLDetailPayload]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The questions that are sent to Airflow's API, which stores them unchanged."""
    questions: Asked = []

    def send(question: CreateHITLDetailPayload) -> CreateHITLDetailPayload:
        questions.append(question)
        return question

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=send), raising=False)
    return questions


def operator(**kwargs: Any) -> AskOperator:
    kwargs = {"options": ["Approve", "Reject"], "defaults": "Reject", "body": "Good figures.", **kwargs}
    return AskOperator(task_id="ask", subject="Deploy the new model?", **kwargs)


def answer(*options: str, user: str | None = "anna") -> dict[str, Any]:
    """Return the event that resumes the task: for an answer or, without a user, for the timeout."""
    return {
        "chosen_options": list(options),
        "params_input": {},
        "responded_at": ANSWERED,
        "responded_by_user": user and {"id": "1", "name": user},
    }


class TestAskOperator:
    def test_template_fields(self) -> None:
        assert set(AskOperator.template_fields) == {"subject", "body"}

    def test_question_is_asked_and_waits_without_a_worker(self, asked: Asked) -> None:
        with pytest.raises(TaskAwaitingInput) as waiting:
            operator().execute(CONTEXT)
        assert waiting.value.method_name == "execute_complete"
        [question] = asked
        assert (question.options, question.defaults) == (["Approve", "Reject"], ["Reject"])
        assert question.body == "Good figures."

    def test_task_is_skipped_with_a_logged_reason_if_no_answer_is_needed(
        self, asked: Asked, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(AirflowSkipException, match="Not wanted"):
            operator(skip=lambda context: "Not wanted.").execute(CONTEXT)
        assert asked == []
        assert "Not wanted." in capsys.readouterr().out

    def test_question_is_asked_without_a_skip_reason(self, asked: Asked) -> None:
        with pytest.raises(TaskAwaitingInput):
            operator(skip=lambda context: None).execute(CONTEXT)
        assert len(asked) == 1

    def test_options_may_be_determined_when_the_task_runs(self, asked: Asked) -> None:
        def choice() -> AskOperator:  # another process continues
            return operator(options=lambda context: context["versions"], defaults=None)

        with pytest.raises(TaskAwaitingInput):
            choice().execute(CONTEXT)
        assert asked[0].options == ["2: old", "1: older"]
        assert choice().execute_complete(CONTEXT, answer("1: older"))["chosen_options"] == ["1: older"]
        with pytest.raises(ValueError, match="3: new"):
            choice().execute_complete(CONTEXT, answer("3: new"))

    def test_question_without_options_is_an_error(self, asked: Asked) -> None:
        with pytest.raises(ValueError, match="cannot be empty"):
            operator(options=lambda context: [], defaults=None).execute(CONTEXT)
        assert asked == []

    def test_task_fails_without_a_retry_if_airflow_shows_a_different_question(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def keep_the_old_one(question: CreateHITLDetailPayload) -> CreateHITLDetailPayload:
            return question.model_copy(update={"body": "Bad figures."})

        comms = SimpleNamespace(send=keep_the_old_one)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
        with pytest.raises(AirflowFailException, match="still shows the body of an earlier try's question"):
            operator().execute(CONTEXT)

    def test_use_of_an_answer_of_an_earlier_try_is_logged(self, capsys: pytest.CaptureFixture[str]) -> None:
        retry = {**CONTEXT, "ti": SimpleNamespace(start_date=ANSWERED + timedelta(minutes=5))}
        operator().execute_complete(CONTEXT, answer("Approve"))
        assert "earlier try" not in capsys.readouterr().out
        operator().execute_complete(retry, answer("Approve"))
        log = capsys.readouterr().out
        assert (
            "Using the answer to the same question of an earlier try: anna answered with ['Approve']" in log
        )

    @pytest.mark.parametrize(
        ("event", "option", "user"),
        [
            pytest.param(answer("Approve"), "Approve", {"id": "1", "name": "anna"}, id="approved"),
            pytest.param(answer("Reject"), "Reject", {"id": "1", "name": "anna"}, id="rejected"),
            pytest.param(answer("Reject", user=None), "Reject", None, id="timed out"),
        ],
    )
    def test_every_answer_is_returned_with_its_user_and_time(
        self, event: dict[str, Any], option: str, user: dict[str, str] | None
    ) -> None:
        assert operator().execute_complete(CONTEXT, event) == {
            "chosen_options": [option],
            "params_input": {},
            "responded_by_user": user,
            "responded_at": "2026-11-24T20:00:00+00:00",
            "about": None,
        }

    def test_answer_contains_its_subject(self, asked: Asked) -> None:
        asking = operator(about=lambda context: {"package": context["versions"][0]})
        with pytest.raises(TaskAwaitingInput) as waiting:
            asking.execute(CONTEXT)
        answered = asking.execute_complete(CONTEXT, answer("Approve"), **waiting.value.kwargs)
        assert answered["about"] == {"package": "2: old"}

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param({"body": "Bad figures."}, id="the text"),
            pytest.param({"options": ["Approve", "Reject", "Wait"]}, id="the options"),
            pytest.param({"about": lambda context: "another candidate"}, id="what it is about"),
        ],
    )
    def test_changed_question_invalidates_the_answer_and_is_asked_again(
        self, asked: Asked, capsys: pytest.CaptureFixture[str], changed: dict[str, Any]
    ) -> None:
        with pytest.raises(TaskAwaitingInput) as waiting:
            operator().execute(CONTEXT)
        with pytest.raises(TaskAwaitingInput) as again:
            operator(**changed).execute_complete(CONTEXT, answer("Approve"), **waiting.value.kwargs)
        assert len(asked) == 2
        assert again.value.kwargs != waiting.value.kwargs
        assert "The answer ['Approve'] is invalid" in capsys.readouterr().out
