"""Distinguish a blocked run from one that continues, regardless of the speed of the scheduler."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.laptop.dag_runs import (
    ACTIVE,
    DECISIONS_UNTIL_BLOCKED,
    LOOKS_UNTIL_BLOCKED,
    DagRun,
    ProgressCheck,
    RunBlockedError,
    TaskInstance,
    states_of,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
RUN = DagRun("sample.train_and_deploy", "mine", "running", BEGAN, BEGAN, None)
BEFORE = replace(RUN, run_id="before")
DONE = TaskInstance("train", -1, "success", 1, BEGAN, BEGAN)
ASKS = replace(DONE, task_id="approve", state="awaiting_input")
NOT_STARTED = replace(DONE, task_id="report", state=None)


def decided(run: DagRun, times: int) -> DagRun:
    """Return the run after further decisions of the scheduler."""
    return replace(run, decided_at=BEGAN + timedelta(seconds=times))


def test_run_is_blocked_if_only_an_answer_can_continue_it() -> None:
    check = ProgressCheck()
    for times in range(DECISIONS_UNTIL_BLOCKED):
        check.look(RUN, {decided(RUN, times): [DONE, ASKS, NOT_STARTED]})
    last = decided(RUN, DECISIONS_UNTIL_BLOCKED)
    with pytest.raises(RunBlockedError) as blocked:
        check.look(last, {last: [DONE, ASKS, NOT_STARTED]})
    assert str(blocked.value) == (
        "Run mine of sample.train_and_deploy makes no progress: approve waits for an answer. "
        "Answer in Airflow, or mark the run as failed. "
        "Its tasks: success: train; awaiting_input: approve; none: report."
    )


def test_run_queued_behind_a_blocked_one_is_blocked() -> None:
    check, queued = ProgressCheck(), replace(RUN, state="queued")
    for times in range(DECISIONS_UNTIL_BLOCKED):
        check.look(queued, {decided(BEFORE, times): [ASKS]})
    with pytest.raises(RunBlockedError, match="queued behind before, where approve waits for an answer"):
        check.look(queued, {decided(BEFORE, DECISIONS_UNTIL_BLOCKED): [ASKS]})


def test_polls_between_two_scheduling_decisions_do_not_count() -> None:
    check = ProgressCheck()
    for _ in range(LOOKS_UNTIL_BLOCKED):
        check.look(RUN, {RUN: [DONE, ASKS, NOT_STARTED]})


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_run_with_an_active_task_is_not_blocked(state: str) -> None:
    check = ProgressCheck()
    for times in range(2 * LOOKS_UNTIL_BLOCKED):
        run = decided(RUN, times)
        check.look(run, {run: [ASKS, replace(NOT_STARTED, state=state)]})


def test_change_of_a_task_state_resets_the_count() -> None:
    check = ProgressCheck()
    for times in range(2 * LOOKS_UNTIL_BLOCKED):
        run, done = decided(RUN, times), times % DECISIONS_UNTIL_BLOCKED == 0
        check.look(run, {run: [ASKS, DONE if done else NOT_STARTED]})


def test_waiting_for_an_answer_may_be_allowed() -> None:
    check = ProgressCheck(awaits_input=True)
    for times in range(2 * LOOKS_UNTIL_BLOCKED):
        run = decided(RUN, times)
        check.look(run, {run: [ASKS]})


def test_run_without_scheduled_tasks_is_blocked() -> None:
    check = ProgressCheck()
    for _ in range(LOOKS_UNTIL_BLOCKED):
        check.look(RUN, {RUN: [DONE, NOT_STARTED]})
    with pytest.raises(RunBlockedError, match=r"no task is active\. See the log of the scheduler"):
        check.look(RUN, {RUN: [DONE, NOT_STARTED]})


def test_states_name_mapped_tasks_by_their_index() -> None:
    mapped = [replace(DONE, map_index=index) for index in range(2)]
    assert states_of([*mapped, NOT_STARTED]) == "success: train[0], train[1]; none: report"
    assert states_of([]) == "not created yet"
