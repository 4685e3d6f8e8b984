"""Run a step that waits as Airflow does: each call in a new process, which finds only what was stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from include.pipeline.waiting import Pending, StepState

T = TypeVar("T")


class Processes:
    """The store of a task, which outlives its processes and tries."""

    def __init__(self) -> None:
        self.attempt = 0
        self.stored: str | None = None

    def call(self, step: Callable[[StepState], T]) -> T:
        """Call the step once, in the current try."""
        content = json.loads(self.stored) if self.stored else None
        return step(StepState(content, self._save, self.attempt))

    def next_try(self, step: Callable[[StepState], T], sleep: Callable[[float], None] = time.sleep) -> T:
        """Call the step until it has finished, in a new try, and return its result."""
        self.attempt += 1
        while True:
            try:
                return self.call(step)
            except Pending:
                sleep(0.1)

    def _save(self, content: dict[str, Any]) -> None:
        self.stored = json.dumps(content)


def done(step: Callable[..., T], *arguments: Any, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call a step with these arguments until it has finished, and return its result."""
    return Processes().next_try(lambda state: step(*arguments, state), sleep)
