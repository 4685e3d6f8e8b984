"""A trigger that is canceled again before Airflow has called its on_kill stops its resource all the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.triggers.base import BaseTrigger, TriggerEvent
from upstream_guards import triggerer

ORIGINAL = TriggerRunner.cancel_triggers


class Waiting(BaseTrigger):
    """Wait for a job that a user stops."""

    stopped = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = asyncio.Event()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "Waiting", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        self.waits.set()
        await asyncio.Event().wait()
        yield TriggerEvent({})

    async def on_kill(self) -> None:
        self.stopped = True


class SlowLog:
    """A log that is busy between Airflow's cancellation and its call of on_kill."""

    def __init__(self) -> None:
        self.entered, self.free = asyncio.Event(), asyncio.Event()

    def info(self, *_: Any, **__: Any) -> None: ...

    async def ainfo(self, *_: Any, **__: Any) -> None:
        self.entered.set()
        await self.free.wait()


@pytest.fixture(params=[True, False], ids=["guarded", "as Airflow is"])
def guarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(TriggerRunner, "cancel_triggers", ORIGINAL)
    is_guarded: bool = request.param
    if is_guarded:
        triggerer.on_starting(SimpleNamespace())
    return is_guarded


def test_a_trigger_that_is_canceled_twice_stops_its_job(guarded: bool) -> None:
    async def cancel_twice() -> bool:
        runner, trigger, log = TriggerRunner(), Waiting(), SlowLog()
        runner.log = log  # type: ignore[assignment]
        runner.triggers[7] = {"name": "waiting", "events": 0}  # type: ignore[typeddict-item]
        task = asyncio.ensure_future(runner.run_trigger(7, trigger))
        runner.triggers[7]["task"] = task
        await trigger.waits.wait()
        runner.to_cancel.extend([7, 8, 7])
        canceling = asyncio.ensure_future(runner.cancel_triggers())
        await log.entered.wait()
        await canceling
        runner.to_cancel.append(7)
        await runner.cancel_triggers()
        log.free.set()
        await asyncio.wait({task})
        return trigger.stopped

    assert asyncio.run(cancel_twice()) is guarded


def test_the_guard_is_installed_once(guarded: bool) -> None:
    before = TriggerRunner.cancel_triggers
    triggerer.install(TriggerRunner)
    assert (TriggerRunner.cancel_triggers is before) is guarded


def test_other_components_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TriggerRunner, "cancel_triggers", ORIGINAL)
    monkeypatch.delitem(sys.modules, triggerer.TRIGGERER)
    triggerer.on_starting(SimpleNamespace())
    assert TriggerRunner.cancel_triggers is ORIGINAL
