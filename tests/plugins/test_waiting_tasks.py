"""A task that waits releases its worker slot, and continues later with what it has kept."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import waiting_tasks
from airflow.sdk.exceptions import AirflowRescheduleException
from waiting_tasks import frees_its_slot

from include.pipeline.waiting import StepState
from tests.dags.finished_tasks import StateStore, task_instance

LATE = RuntimeError("It took too long.")


class Waits:
    """A step that waits for some calls, and counts how often it has done its work."""

    def __init__(self, calls: int) -> None:
        self.calls, self.work = calls, 0

    def __call__(self, state: StepState) -> str:
        state.once("work", self._do)
        self.calls -= 1
        if self.calls > 0:
            state.wait("AWS", LATE)
        return "finished"

    def _do(self) -> None:
        self.work += 1


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> StateStore:
    store = StateStore()
    context: dict[str, Any] = {"ti": task_instance({}), "task_state_store": store}
    monkeypatch.setattr(waiting_tasks, "get_current_context", lambda: context)
    return store


def run(step: Waits, poll_seconds: float) -> Any:
    @frees_its_slot(poll_seconds)
    def task(state: StepState) -> str:
        return step(state)

    assert not inspect.signature(task).parameters  # Airflow would pass an argument from the context
    return task()


def test_a_task_that_waits_is_rescheduled_and_continues(store: StateStore) -> None:
    step = Waits(3)
    for _ in range(2):
        with pytest.raises(AirflowRescheduleException) as rescheduled:
            run(step, poll_seconds=60)
        pause = rescheduled.value.reschedule_date - datetime.now(UTC)
        assert timedelta(seconds=30) < pause <= timedelta(seconds=60)
    assert run(step, poll_seconds=60) == "finished"
    assert (step.work, store) == (1, {})


def test_a_short_wait_does_not_release_the_worker_slot(store: StateStore) -> None:
    assert run(Waits(3), poll_seconds=0.01) == "finished"


def test_a_task_with_a_short_interval_is_paused_until_the_scheduler_knows_that_its_process_has_ended(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_tasks, "IN_WORKER_SECONDS", 0)
    with pytest.raises(AirflowRescheduleException) as rescheduled:
        run(Waits(2), poll_seconds=0.01)
    assert rescheduled.value.reschedule_date - datetime.now(UTC) > timedelta(seconds=5)


def test_a_task_that_fails_keeps_what_its_next_try_needs(store: StateStore) -> None:
    @frees_its_slot(60)
    def task(state: StepState) -> None:
        state.once("target", lambda: "the last good release")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        task()
    assert StepState(store["step_state"], attempt=2).earlier("target") == "the last good release"
