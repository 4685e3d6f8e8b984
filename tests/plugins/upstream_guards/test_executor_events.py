"""A late event of the executor fails no resumed task and hides no lost task."""

from __future__ import annotations

import pytest

from tests.plugins.upstream_guards.conftest import Instance

RESUMED = ["scheduled", "queued", "running"]


def pause_and_resume(instance: Instance, state: str, *, reschedule: bool = False) -> None:
    """Let the pause end, and the task reach this state, before the scheduler reads the event of the pause."""
    if reschedule:
        instance.reschedule()
    else:
        instance.defer()
    instance.resume()
    if state != "scheduled":
        instance.queue()
    if state == "running":
        instance.start()
    assert instance.read() == state


@pytest.mark.parametrize("state", RESUMED)
def test_task_resumed_before_the_event_of_its_pause_keeps_its_try(instance: Instance, state: str) -> None:
    pause_and_resume(instance, state)
    instance.report_success()
    assert (instance.read(), instance.mismatches()) == (state, 0)
    assert instance.read(lambda row: (row.try_number, row.next_method)) == (1, "execute_complete")


@pytest.mark.parametrize("state", RESUMED)
def test_task_rescheduled_before_the_event_of_its_pause_keeps_its_try(instance: Instance, state: str) -> None:
    pause_and_resume(instance, state, reschedule=True)
    instance.report_success()
    assert (instance.read(), instance.mismatches()) == (state, 0)
    assert instance.read(lambda row: row.try_number) == 1


def test_the_next_try_of_a_rescheduled_task_fails_if_it_is_lost(instance: Instance) -> None:
    instance.reschedule()
    instance.clear()
    instance.report_success()
    assert instance.mismatches() == 1


@pytest.mark.parametrize("state", RESUMED)
def test_task_resumed_after_the_event_of_its_pause_keeps_its_try(instance: Instance, state: str) -> None:
    instance.defer()
    instance.report_success()
    assert instance.read() == "deferred"
    instance.resume()
    if state != "scheduled":
        instance.queue()
    if state == "running":
        instance.start()
    assert (instance.read(), instance.mismatches()) == (state, 0)


def test_lost_task_without_a_pause_still_fails(instance: Instance) -> None:
    instance.report_success()
    assert (instance.read(), instance.mismatches()) == ("up_for_retry", 1)


class TestWithoutTheGuard:
    """The bug in Airflow 3.3.2. When one of these tests fails, the guard can be removed."""

    @pytest.fixture
    def guarded(self) -> bool:
        return False

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_airflow_treats_the_resumed_task_as_lost(self, instance: Instance, state: str) -> None:
        pause_and_resume(instance, state)
        instance.report_success()
        assert (instance.read(), instance.mismatches()) == ("up_for_retry", 1)

    @pytest.mark.parametrize("state", RESUMED)
    def test_airflow_treats_the_rescheduled_task_as_lost(self, instance: Instance, state: str) -> None:
        pause_and_resume(instance, state, reschedule=True)
        instance.report_success()
        assert (instance.read(), instance.mismatches()) == ("up_for_retry", 1)
