"""DAG runs and their tasks as Airflow reports them, and a check for runs that make no progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

AWAITING_INPUT = "awaiting_input"
# The scheduler, a worker or the triggerer continues a task in one of these states.
ACTIVE = frozenset(
    {"scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule"}
)
# How often the scheduler must have examined a run without an active task and without scheduling one.
DECISIONS_UNTIL_BLOCKED = 3
# A scheduler that is not running makes no decisions. A busy one may need a minute for the next task.
LOOKS_UNTIL_BLOCKED = 30


class RunBlockedError(RuntimeError):
    """A run makes no progress. The message says why and lists the states of the tasks."""


@dataclass(frozen=True)
class TaskInstance:
    """The state of one task in a run; `map_index` is -1 unless the task is mapped."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start: datetime | None
    end: datetime | None

    @property
    def name(self) -> str:
        """The task ID, with the map index if the task is mapped."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"

    @property
    def seconds(self) -> float | None:
        """The duration including deferred time; None if the task has not ended."""
        return None if self.start is None or self.end is None else (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class DagRun:
    """A run of a DAG: its state, its creation time, and when the scheduler last examined it."""

    dag_id: str
    run_id: str
    state: str
    queued_at: datetime | None
    decided_at: datetime | None
    note: str | None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """The duration; None if the run has not ended."""
        return None if self.start is None or self.end is None else (self.end - self.start).total_seconds()


def states_of(tasks: Sequence[TaskInstance]) -> str:
    """Return the names of tasks by state: "failed: train; none: register, report"."""
    names: dict[str, list[str]] = {}
    for task in tasks:
        names.setdefault(str(task.state).lower(), []).append(task.name)
    return "; ".join(f"{state}: {', '.join(names[state])}" for state in names) or "not created yet"


class ProgressCheck:
    """Check repeatedly that a run makes progress.

    :param awaits_input: Whether a task may wait for input, because its question is answered or times out.
    """

    def __init__(self, awaits_input: bool = False) -> None:
        self._active = ACTIVE | {AWAITING_INPUT} if awaits_input else ACTIVE
        self._seen: object = None
        self._looks = 0
        self._decisions: set[object] = set()

    def look(self, run: DagRun, ahead: Mapping[DagRun, Sequence[TaskInstance]]) -> None:
        """Raise RunBlockedError if the run has had no active task for too long.

        :param run: The run.
        :param ahead: The runs that must end before `run` starts, or otherwise only `run`, each with its tasks.
        """
        tasks = [task for tasks in ahead.values() for task in tasks]
        seen = [(each.run_id, each.state) for each in ahead], [(task.name, task.state) for task in tasks]
        if seen != self._seen or any(task.state in self._active for task in tasks):
            self._seen, self._looks, self._decisions = seen, 0, set()
        self._looks += 1
        self._decisions.add(tuple(each.decided_at for each in ahead))
        waiting = ", ".join(task.name for task in tasks if task.state == AWAITING_INPUT)
        if waiting and len(self._decisions) > DECISIONS_UNTIL_BLOCKED:
            why = f"{waiting} waits for an answer. Answer in Airflow, or mark the run as failed."
        elif self._looks > LOOKS_UNTIL_BLOCKED:
            why = "no task is active. See the log of the scheduler."
        else:
            return
        behind = ", ".join(each.run_id for each in ahead if each != run)
        queued = f"it is queued behind {behind}, where " if behind else ""
        raise RunBlockedError(
            f"Run {run.run_id} of {run.dag_id} makes no progress: {queued}{why} "
            f"Its tasks: {states_of(tasks)}."
        )
