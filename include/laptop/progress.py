"""Show the progress of a run: one line for each event, and on a terminal the running tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from include.laptop.dag_runs import AWAITING_INPUT, TaskInstance
from include.laptop.terminal import SPINNER, duration, is_live, mark, printable, say

STAGES = {
    "running": "started",
    "deferred": "started",
    AWAITING_INPUT: "waits for an answer",
    "up_for_retry": "failed and will be retried",
    "success": "succeeded",
    "failed": "failed",
    "skipped": "skipped",
}
UNDER_WAY = frozenset({"running", "deferred", AWAITING_INPUT})
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
BAR_COLUMNS = 24
INDENT = (0, 0, 0, 2)
NEXT_STEPS = 3
# How often a long task is mentioned without a terminal.
REMINDER_SECONDS = 30.0


@dataclass(frozen=True)
class Event:
    """A change of a task's state, such as ``train succeeded after 12.3 s``."""

    task: TaskInstance
    stage: str

    def __str__(self) -> str:
        took = ""
        if self.task.state in ("success", "failed") and self.task.seconds is not None:
            took = f" after {self.task.seconds:.1f} s"
        return f"{self.task.name} {self.stage}{took}"


@dataclass
class TaskEvents:
    """Convert the states of a run's tasks to events, each once."""

    _seen: dict[str, tuple[str, int]] = field(default_factory=dict)

    def new(self, tasks: Sequence[TaskInstance]) -> list[Event]:
        """Return the events since the last call."""
        events = []
        for task in tasks:
            stage = STAGES.get(str(task.state))
            if stage is not None and self._seen.get(task.name) != (stage, task.try_number):
                self._seen[task.name] = (stage, task.try_number)
                events.append(Event(task, stage))
        return events


class RunProgress(Protocol):
    """A context manager that shows the progress of a run."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def update(self, tasks: Sequence[TaskInstance], details: Mapping[str, str]) -> None:
        """Show the current states of the run's tasks, with details by task name."""


def run_progress(
    console: Console, order: Sequence[str], question: Callable[[TaskInstance], str]
) -> RunProgress:
    """Return live progress on a terminal, and plain lines elsewhere.

    :param order: The task IDs of the run, in the order of their start.
    :param question: Return the URL of the page on which to answer a task's question.
    """
    return LiveProgress(console, order, question) if is_live(console) else PlainProgress(console, question)


class PlainProgress:
    """Print a line for each event, and from time to time one for a long task."""

    def __init__(
        self,
        console: Console,
        question: Callable[[TaskInstance], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._question, self._clock = console, question, clock
        self._events = TaskEvents()
        self._began = self._said = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, tasks: Sequence[TaskInstance], details: Mapping[str, str]) -> None:
        """Print the new events."""
        events = self._events.new(tasks)
        for event in events:
            page = f": {self._question(event.task)}" if event.task.state == AWAITING_INPUT else ""
            self._say(f"{event}{page}")
        if not events and self._clock() - self._said >= REMINDER_SECONDS:
            for task in tasks:
                if task.state in UNDER_WAY:
                    self._say(", ".join(filter(None, [f"{task.name} is running", details.get(task.name)])))

    def _say(self, line: str) -> None:
        self._said = self._clock()
        say(self._console, f"{self._said - self._began:6.0f} s  {line}")


class LiveProgress:
    """Print a line for each task that has ended; below, show the running tasks and what is left."""

    def __init__(
        self, console: Console, order: Sequence[str], question: Callable[[TaskInstance], str]
    ) -> None:
        self._console, self._order, self._question = console, order, question
        self._events = TaskEvents()
        self._began = time.monotonic()
        self._tasks: Sequence[TaskInstance] = ()
        self._details: Mapping[str, str] = {}
        self._spinners: dict[str, Spinner] = {}
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def update(self, tasks: Sequence[TaskInstance], details: Mapping[str, str]) -> None:
        """Print a line for each task that has ended or failed, and update the display of the others."""
        for event in self._events.new(tasks):
            if event.task.state == "skipped":
                say(self._console, f"  - {event.task.name} skipped", style="dim")
            elif event.task.state in ("success", "failed"):
                took = duration(event.task.seconds) if event.task.seconds is not None else ""
                line = Text.assemble(
                    "  ", mark(self._console, event.task.state == "success"), " ", event.task.name
                )
                self._console.print(line.append(f"  {took}", style="dim"))
            elif event.task.state == AWAITING_INPUT:  # printed, so that its URL can be copied
                say(self._console, f"  ? {event}: {self._question(event.task)}", style="bold yellow")
            elif event.task.state == "up_for_retry":
                say(self._console, f"  ! {event}", style="yellow")
        self._tasks, self._details = tasks, details

    def render(self) -> RenderableType:
        running = Table.grid(padding=(0, 1))
        running.add_column(no_wrap=True)
        running.add_column(no_wrap=True, overflow="ellipsis")
        running.add_column(no_wrap=True, justify="right")
        running.add_column(style="dim", overflow="fold")
        for task in self._tasks:
            if task.state in UNDER_WAY:
                running.add_row(*self._row(task))
        return Group(Padding(running, INDENT), Padding(self._footer(), INDENT))

    def _row(self, task: TaskInstance) -> tuple[RenderableType, ...]:
        age = (datetime.now(UTC) - task.start).total_seconds() if task.start else 0.0
        if task.state == AWAITING_INPUT:
            return "?", Text(task.name, style="bold yellow"), duration(age), Text("waits for your answer")
        spinner = self._spinners.setdefault(task.name, Spinner(SPINNER, style="cyan"))
        detail = Text(printable(self._details.get(task.name, "")))
        return spinner, Text(task.name, style="bold"), duration(age), detail

    def _footer(self) -> RenderableType:
        done = sum(task.state in OVER for task in self._tasks)
        total = len(self._tasks)
        bar = ProgressBar(
            total=max(total, 1),
            completed=done,
            width=min(BAR_COLUMNS, self._console.width // 3),
            complete_style="cyan",
            finished_style="green",
        )
        words = f"{done} of {total} steps, {duration(time.monotonic() - self._began)}"
        waiting = {task.task_id for task in self._tasks if task.state not in OVER | UNDER_WAY}
        next_steps = [name for name in self._order if name in waiting]
        if next_steps:
            more = len(next_steps) - NEXT_STEPS
            words += f"; next: {', '.join(next_steps[:NEXT_STEPS])}" + (
                f" and {more} more" if more > 0 else ""
            )
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(bar, Text(words, style="dim"))
        return row
