"""Airflow loads the guards of the scheduler, which are installed once and only there."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from airflow import plugins_manager
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from upstream_guards import scheduler, triggerer
from upstream_guards.deadlines import RunQueuedAt
from upstream_guards.questions import QuestionMiddleware


@pytest.mark.usefixtures("unguarded_scheduler")
class TestOnStarting:
    def test_guards_are_installed_once_in_a_scheduler(self) -> None:
        Job()  # as a scheduler makes when it starts
        guarded = SchedulerJobRunner.process_executor_events, SchedulerJobRunner.check_awaiting_input_timeouts
        scheduler.on_starting(SimpleNamespace())
        assert guarded == (
            SchedulerJobRunner.process_executor_events,
            SchedulerJobRunner.check_awaiting_input_timeouts,
        )
        assert all(hasattr(method, "__wrapped__") for method in guarded)

    def test_other_components_are_not_changed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, scheduler.SCHEDULER)
        scheduler.on_starting(SimpleNamespace())
        assert not hasattr(SchedulerJobRunner.process_executor_events, "guarded")


def test_airflow_loads_the_guards() -> None:
    plugins, errors = plugins_manager._get_plugins()  # noqa: SLF001
    assert not errors
    (plugin,) = [plugin for plugin in plugins if plugin.name == "upstream_guards"]
    assert plugin.listeners == [scheduler, triggerer]
    assert plugin.deadline_references == [RunQueuedAt]
    assert [each["middleware"] for each in plugin.fastapi_root_middlewares] == [QuestionMiddleware]
