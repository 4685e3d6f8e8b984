"""A report of the executor that comes late: it fails no task that was resumed, and hides no task that was lost."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from airflow import plugins_manager
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from upstream_guards import executor_events
from upstream_guards.questions import QuestionMiddleware

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


class TestOnStarting:
    def test_it_guards_a_scheduler_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = SchedulerJobRunner.__dict__["process_executor_events"]
        monkeypatch.setattr(SchedulerJobRunner, "process_executor_events", original)
        executor_events.on_starting(SimpleNamespace())
        guarded = SchedulerJobRunner.process_executor_events
        executor_events.on_starting(SimpleNamespace())
        assert SchedulerJobRunner.process_executor_events == guarded
        assert hasattr(guarded, "__wrapped__")

    def test_another_component_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, executor_events.SCHEDULER)
        executor_events.on_starting(SimpleNamespace())
        assert executor_events.SCHEDULER not in sys.modules


def test_airflow_loads_the_guards() -> None:
    plugins, errors = plugins_manager._get_plugins()
    assert not errors
    (plugin,) = [plugin for plugin in plugins if plugin.name == "upstream_guards"]
    assert plugin.listeners == [executor_events]
    assert [each["middleware"] for each in plugin.fastapi_root_middlewares] == [QuestionMiddleware]
