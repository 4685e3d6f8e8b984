"""Install the guard of the triggerer when it starts: a trigger is canceled once, so that it can stop its resource.

The triggerer of Airflow 3.3.2 cancels the trigger of a task that a user marked or cleared each time it checks its
triggers, about every second, until the trigger has ended. If it does so before it has called ``on_kill``, nothing
calls ``on_kill`` anymore, and the job or instance continues to run. No upstream issue is known.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from airflow.listeners import hookimpl

TRIGGERER = "airflow.jobs.triggerer_job_runner"

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Install the guard when Airflow starts a triggerer, whose runner is a fork of this process."""
    if TRIGGERER in sys.modules:
        install(sys.modules[TRIGGERER].TriggerRunner)


def install(runner: Any) -> None:
    """Wrap the method that cancels triggers, to pass over those that are already being canceled."""
    if hasattr(runner.cancel_triggers, "guarded"):
        return
    runner.cancel_triggers = _cancel_once(runner.cancel_triggers)
    log.info("Installed the guard of the triggerer (plugin upstream_guards)")


def _cancel_once(original: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    @functools.wraps(original)
    async def cancel_triggers(self: Any) -> None:
        asked = dict.fromkeys(self.to_cancel)
        self.to_cancel.clear()
        self.to_cancel.extend(
            trigger_id
            for trigger_id in asked
            if trigger_id in self.triggers and not self.triggers[trigger_id]["task"].cancelling()
        )
        await original(self)

    cancel_triggers.guarded = True  # type: ignore[attr-defined]
    return cancel_triggers
