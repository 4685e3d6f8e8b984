"""A real supervisord: crashed programs are reported and restarted, and stopped programs have no processes."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from include.laptop.environment import MARKER
from include.laptop.stack_paths import StackPaths
from include.laptop.supervision import Crash, Supervision, last_lines

SLEEP = ["sleep", "600"]
Eventually = Callable[..., object]
Start = Callable[[Mapping[str, Sequence[str]]], Supervision]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start commands under the supervision of a stack whose folder has characters that need quoting."""
    paths = StackPaths(tmp_path / "100 % mine")
    paths.make()
    started: list[Supervision] = []

    def start_commands(commands: Mapping[str, Sequence[str]]) -> Supervision:
        supervision = Supervision(paths, commands)
        started.append(supervision)
        supervision.start({**os.environ, MARKER: str(paths.state_dir)})
        return supervision

    yield start_commands
    for supervision in started:
        supervision.stop()


def sleepers(supervision: Supervision) -> list[psutil.Process]:
    found = []
    for process in supervision.processes():
        with suppress(psutil.NoSuchProcess):  # it may end at any moment
            if process.name() == "sleep":
                found.append(process)
    return found


def test_command_that_exits_during_its_start_is_reported_with_its_log(
    start: Start, eventually: Eventually
) -> None:
    supervision = start({"unlucky": ["sh", "-c", "echo no luck today; exit 3"]})
    eventually(supervision.first_crash)
    crash = supervision.first_crash()
    assert crash == Crash("unlucky", "exit status 3", supervision.program_log("unlucky"))
    assert "no luck today" in last_lines(crash.log)


def test_crashed_program_is_restarted(start: Start, eventually: Eventually) -> None:
    supervision = start({"sleeper": SLEEP})
    eventually(lambda: sleepers(supervision))
    (killed,) = sleepers(supervision)
    # A program that exits within its first second counts as not started, and its restart is delayed longer.
    eventually(lambda: "sleeper entered RUNNING state" in supervision.log.read_text())
    killed.kill()
    eventually(lambda: [process for process in sleepers(supervision) if process != killed])
    assert supervision.is_running()


def test_each_program_is_listed_with_the_state_of_its_process(start: Start, eventually: Eventually) -> None:
    # One that exits at once would be given up later on a busy machine: what lives for a second counts as started.
    supervision = start({"sleeper": SLEEP, "unlucky": ["/no/such/program"]})

    def states() -> dict[str, str]:
        return {component.name: component.state for component in supervision.components()}

    eventually(lambda: states() == {"sleeper": "running", "unlucky": "given up"})
    (process,) = sleepers(supervision)
    (sleeper, unlucky) = supervision.components()
    assert (sleeper.since, unlucky.since) == (datetime.fromtimestamp(process.create_time(), UTC), None)
    process.suspend()
    eventually(lambda: states()["sleeper"] == "suspended")
    process.resume()
    process.kill()
    eventually(lambda: sleepers(supervision) not in ([], [process]) and states()["sleeper"] == "running")


def test_stop_ends_all_processes_and_returns_their_number(start: Start, eventually: Eventually) -> None:
    supervision = start({"one": SLEEP, "other": SLEEP})
    eventually(lambda: len(sleepers(supervision)) == 2)
    assert supervision.stop() == 3  # supervisord too
    assert supervision.processes() == []
    assert not supervision.is_running()


def test_stop_finds_processes_that_left_their_process_group(start: Start, eventually: Eventually) -> None:
    leave = "import os, time; os.fork() or os.setsid(); time.sleep(600)"
    supervision = start({"leaver": [sys.executable, "-c", leave]})
    eventually(lambda: len(supervision.processes()) == 3)
    supervision.stop()
    assert supervision.processes() == []


def test_stop_finds_processes_of_a_killed_supervisord(start: Start, eventually: Eventually) -> None:
    supervision = start({"sleeper": SLEEP})
    eventually(lambda: sleepers(supervision))
    psutil.Process(int(supervision.pid_file.read_text())).kill()
    eventually(lambda: not supervision.is_running())
    assert supervision.stop() == 1
    assert supervision.processes() == []


def test_pid_file_of_another_program_is_ignored(start: Start, tmp_path: Path) -> None:
    supervision = Supervision(StackPaths(tmp_path), {})
    supervision.pid_file.write_text(str(os.getpid()))
    assert not supervision.is_running()
