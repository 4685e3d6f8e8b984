"""An answer that arrives while the task starts to wait."""

from __future__ import annotations

import pytest

from tests.plugins.upstream_guards.conftest import Instance


def answer_while_it_begins_to_wait(instance: Instance) -> None:
    """Store the answer of a running task, and let it wait as if it had checked for the answer before."""
    instance.ask()
    instance.answer("Approve")
    instance.set(state="awaiting_input", next_method="execute_complete", next_kwargs={})


def test_answer_resumes_the_task(instance: Instance) -> None:
    answer_while_it_begins_to_wait(instance)
    instance.check_timeouts()
    assert instance.read() == "scheduled"
    assert instance.read(lambda row: row.next_kwargs["event"]["chosen_options"]) == ["Approve"]


def test_question_without_an_answer_stays_open(instance: Instance) -> None:
    instance.ask()
    instance.pause()
    instance.check_timeouts()
    assert (instance.read(), instance.read(lambda row: row.trigger_timeout)) == ("awaiting_input", None)


class TestWithoutTheGuard:
    """The bug in Airflow 3.3.2. When this test fails, the guard can be removed."""

    @pytest.fixture
    def guarded(self) -> bool:
        return False

    def test_task_waits_forever(self, instance: Instance) -> None:
        answer_while_it_begins_to_wait(instance)
        instance.check_timeouts()
        assert instance.read() == "awaiting_input"
