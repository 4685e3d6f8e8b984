"""A report of the executor that comes late: it fails no task that was resumed, and hides no task that was lost."""

from __future__ import annotations

import pytest

from tests.plugins.upstream_guards.conftest import Instance

RESUMED = ["scheduled", "queued", "running"]


def pause_and_resume(instance: Instance, state: str) -> None:
    """Let the trigger fire, and the task come so far, before the scheduler hears of the pause."""
    instance.defer()
    instance.resume()
    if state != "scheduled":
        instance.queue()
    if state == "running":
        instance.start()
    assert instance.read() == state


@pytest.mark.parametrize("state", RESUMED)
def test_a_task_that_was_resumed_before_the_report_of_its_pause_keeps_its_try(
    instance: Instance, state: str
) -> None:
    pause_and_resume(instance, state)
    instance.report_success()
    assert (instance.read(), instance.mismatches()) == (state, 0)
    assert instance.read(lambda row: (row.try_number, row.next_method)) == (1, "execute_complete")


@pytest.mark.parametrize("state", RESUMED)
def test_a_task_that_was_resumed_after_the_report_of_its_pause_keeps_its_try(
    instance: Instance, state: str
) -> None:
    instance.defer()
    instance.report_success()
    assert instance.read() == "deferred"
    instance.resume()
    if state != "scheduled":
        instance.queue()
    if state == "running":
        instance.start()
    assert (instance.read(), instance.mismatches()) == (state, 0)


def test_a_task_that_never_paused_and_is_lost_still_fails(instance: Instance) -> None:
    instance.report_success()
    assert (instance.read(), instance.mismatches()) == ("up_for_retry", 1)


class TestWithoutTheGuard:
    """The fault of Airflow 3.3.2. When one of these fails, the guard against it can go."""

    @pytest.fixture
    def guarded(self) -> bool:
        return False

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_airflow_takes_the_resumed_task_for_lost(self, instance: Instance, state: str) -> None:
        pause_and_resume(instance, state)
        instance.report_success()
        assert (instance.read(), instance.mismatches()) == ("up_for_retry", 1)
