"""The progress of a run on a terminal and elsewhere."""

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


def test_start_and_end_of_a_task_are_events() -> None:
    assert events(WAITING, RUNNING, DEFERRED, RUNNING, DONE, DONE) == [
        [],
        ["train started"],
        [],
        [],
        ["train succeeded after 12.3 s"],
        [],
    ]


def test_second_try_is_an_event() -> None:
    retried = replace(RUNNING, state="up_for_retry")
    assert events(RUNNING, retried, replace(RUNNING, try_number=2)) == [
        ["train started"],
        ["train failed and will be retried"],
        ["train started"],
    ]


def test_mapped_tasks_are_distinguished() -> None:
    tasks = [replace(RUNNING, map_index=index) for index in range(2)]
    assert [str(event) for event in TaskEvents().new(tasks)] == ["train[0] started", "train[1] started"]


@pytest.fixture
def clock() -> Iterator[int]:
    return itertools.count(step=20)


def test_plain_output_has_a_line_for_each_event_and_a_reminder(clock: Iterator[int]) -> None:
    printed = io.StringIO()
    progress = PlainProgress(make_console(printed), question, clock=lambda: next(clock))
    for _ in range(4):
        progress.update([RUNNING], {"train": "epoch 4 of 10"})
    assert [line.split("  ")[-1] for line in printed.getvalue().splitlines()] == [
        "train started",
        "train is running, epoch 4 of 10",
    ]


def test_question_is_shown_with_its_url() -> None:
    printed = io.StringIO()
    PlainProgress(make_console(printed), question).update([ASKS], {})
    assert printed.getvalue() == "     0 s  approve waits for an answer: http://airflow/approve\n"


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
def test_live_progress_requires_a_terminal_with_cursor_movement(
    environment: dict[str, str], expected: type
) -> None:
    assert isinstance(run_progress(terminal(**environment), [], question), expected)


def test_piped_output_has_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = io.StringIO()
    with run_progress(make_console(printed), ["train"], question) as progress:
        progress.update([RUNNING], {})
        progress.update([DONE], {})
    assert "train succeeded" in printed.getvalue()
    assert CONTROL not in printed.getvalue()


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_terminal_shows_running_tasks_their_progress_and_what_is_left(columns: int) -> None:
    console = terminal(columns)
    tasks = [DONE, replace(RUNNING, task_id="evaluate"), replace(WAITING, task_id="register", state=None)]
    progress = LiveProgress(console, ["train", "evaluate", "register"], question)
    progress.update(tasks, {"evaluate": "20 of 75 images"})
    with console.capture() as shown:
        console.print(progress.render())
    lines = Text.from_ansi(shown.get()).plain.splitlines()
    letters = "".join("".join(lines).split())  # a narrow terminal breaks lines anywhere
    for part in ("evaluate", "20 of 75 images", "1 of 3 steps", "next: register"):
        assert part.replace(" ", "") in letters, lines
    assert max(map(len, lines)) <= columns
