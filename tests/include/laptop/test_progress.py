"""What is shown of a run while it lasts: on a terminal, and elsewhere."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from rich.text import Text

from include.laptop.airflow_api import TaskInstance
from include.laptop.progress import LiveProgress, PlainProgress, TaskEvents, run_progress
from include.laptop.terminal import make_console

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
WAITING = TaskInstance("train", -1, "queued", 1, None, None)
RUNNING = replace(WAITING, state="running", start=BEGAN)
DEFERRED = replace(RUNNING, state="deferred")
DONE = replace(RUNNING, state="success", end=BEGAN + timedelta(seconds=12.34))
ASKS = replace(RUNNING, task_id="approve", state="awaiting_input")
CONTROL = "\x1b"


def question(task: TaskInstance) -> str:
    return f"http://airflow/{task.task_id}"


def events(*looks: TaskInstance) -> list[list[str]]:
    found = TaskEvents()
    return [[str(event) for event in found.new([task])] for task in looks]


def test_a_task_is_mentioned_when_it_starts_and_when_it_ends() -> None:
    assert events(WAITING, RUNNING, DEFERRED, RUNNING, DONE, DONE) == [
        [],
        ["train started"],
        [],
        [],
        ["train succeeded after 12.3 s"],
        [],
    ]


def test_a_second_try_is_mentioned() -> None:
    retried = replace(RUNNING, state="up_for_retry")
    assert events(RUNNING, retried, replace(RUNNING, try_number=2)) == [
        ["train started"],
        ["train failed and will be tried again"],
        ["train started"],
    ]


def test_mapped_tasks_are_told_apart() -> None:
    tasks = [replace(RUNNING, map_index=index) for index in range(2)]
    assert [str(event) for event in TaskEvents().new(tasks)] == ["train[0] started", "train[1] started"]


@pytest.fixture
def clock() -> Iterator[int]:
    return itertools.count(step=20)


def test_without_a_terminal_there_is_a_line_for_each_event_and_a_reminder(clock: Iterator[int]) -> None:
    printed = io.StringIO()
    progress = PlainProgress(make_console(printed), question, clock=lambda: next(clock))
    for _ in range(4):
        progress.update([RUNNING], {"train": "epoch 4 of 10"})
    assert [line.split("  ")[-1] for line in printed.getvalue().splitlines()] == [
        "train started",
        "train is running, epoch 4 of 10",
    ]


def test_a_question_is_shown_with_the_page_that_takes_its_answer() -> None:
    printed = io.StringIO()
    PlainProgress(make_console(printed), question).update([ASKS], {})
    assert printed.getvalue() == "     0 s  approve waits for a person: http://airflow/approve\n"


def terminal(columns: int = 80, **environment: str) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=columns,
        legacy_windows=False,
        _environ={"TERM": "xterm", **environment},
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, LiveProgress), ({"TERM": "dumb"}, PlainProgress)],
    ids=["terminal", "dumb terminal"],
)
def test_live_progress_is_for_terminals_that_move_the_cursor(
    environment: dict[str, str], expected: type
) -> None:
    assert isinstance(run_progress(terminal(**environment), [], question), expected)


def test_what_is_piped_holds_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = io.StringIO()
    with run_progress(make_console(printed), ["train"], question) as progress:
        progress.update([RUNNING], {})
        progress.update([DONE], {})
    assert "train succeeded" in printed.getvalue()
    assert CONTROL not in printed.getvalue()


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_a_terminal_shows_what_runs_how_far_it_is_and_what_is_left(columns: int) -> None:
    console = terminal(columns)
    tasks = [DONE, replace(RUNNING, task_id="evaluate"), replace(WAITING, task_id="register", state=None)]
    progress = LiveProgress(console, ["train", "evaluate", "register"], question)
    progress.update(tasks, {"evaluate": "20 of 75 images"})
    with console.capture() as shown:
        console.print(progress._now())
    lines = Text.from_ansi(shown.get()).plain.splitlines()
    letters = "".join("".join(lines).split())  # a narrow terminal breaks lines anywhere
    for part in ("evaluate", "20 of 75 images", "1 of 3 steps", "next: register"):
        assert part.replace(" ", "") in letters, lines
    assert max(map(len, lines)) <= columns
