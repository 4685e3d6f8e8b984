"""Child processes: their output, their end, and that of what they started themselves."""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from include.local_aws.processes import ChildProcesses

PATIENCE = 300.0
"""More seconds than anything here takes: those who may end in order do so, however slow the machine is."""


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def shell(children: ChildProcesses, lines: list[str]) -> Callable[[str], Any]:
    """Start a shell command."""
    return lambda command: children.start(["bash", "-c", command], env=dict(os.environ), on_line=lines.append)


def test_output_and_errors_come_as_lines_before_the_wait_ends(
    children: ChildProcesses, shell: Callable[[str], Any], lines: list[str]
) -> None:
    assert children.wait(shell("echo one; echo two >&2; printf three; exit 4")) == 4
    assert lines == ["one", "two", "three"]


def test_a_child_sees_only_the_environment_it_is_given(children: ChildProcesses, lines: list[str]) -> None:
    code = "import os; print(sorted(set(os.environ) & {'HOME', 'COLOR'}))"
    process = children.start([sys.executable, "-c", code], env={"COLOR": "red"}, on_line=lines.append)
    children.wait(process)
    assert lines == ["['COLOR']"]


def test_a_child_may_end_in_order_when_it_is_stopped(
    children: ChildProcesses,
    shell: Callable[[str], Any],
    lines: list[str],
    eventually: Callable[..., Any],
) -> None:
    process = shell("trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    eventually(lambda: lines == ["ready"])
    children.stop(process, PATIENCE)
    assert (process.returncode, lines[-1]) == (0, "tidied")


def test_what_a_child_started_may_end_in_order_too(
    children: ChildProcesses,
    shell: Callable[[str], Any],
    lines: list[str],
    eventually: Callable[..., Any],
) -> None:
    worker = "trap 'sleep 0.5; echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    process = shell(f'bash -c "{worker}" & wait')  # the launcher ends at once
    eventually(lambda: lines == ["ready"])
    children.stop(process, PATIENCE)
    assert lines[-1] == "tidied"


def test_a_child_that_does_not_stop_is_killed_after_the_grace(
    children: ChildProcesses,
    shell: Callable[[str], Any],
    lines: list[str],
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    eventually(lambda: lines == ["ready"])
    waits: list[tuple[float | None, int | None]] = []
    wait = children.wait

    def noted(process: Any, timeout: float | None = None) -> int | None:
        status = wait(process, timeout)
        waits.append((timeout, status))
        return status

    monkeypatch.setattr(children, "wait", noted)
    children.stop(process, 0.5)
    assert waits == [(0.5, None), (None, -9)]


def test_the_exit_status_of_every_killed_child_is_known(
    children: ChildProcesses, shell: Callable[[str], Any]
) -> None:
    processes = [shell("trap '' TERM; while :; do sleep 0.1; done") for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda process: children.stop(process, 0.2), processes))
    assert {process.returncode for process in processes} <= {-9, -15}  # -15: before its trap was set


def test_what_an_ended_child_left_running_is_killed(
    children: ChildProcesses, shell: Callable[[str], Any], lines: list[str]
) -> None:
    process = shell("setsid sleep 300 & echo $!")
    assert children.wait(process) == 0
    assert not psutil.pid_exists(int(lines[0])) or _is_zombie(int(lines[0]))


def test_what_is_being_replaced_by_another_program_is_killed(
    children: ChildProcesses,
    shell: Callable[[str], Any],
    lines: list[str],
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = shell("setsid sleep 300 & echo $!; exec sleep 300")
    eventually(lambda: lines)
    read, looks = psutil.Process.environ, iter([{}])

    def environ(each: psutil.Process) -> dict[str, str]:
        return next(looks, read(each)) if each.pid == int(lines[0]) else read(each)

    monkeypatch.setattr(psutil.Process, "environ", environ)  # empty at first, as during execve
    os.kill(process.pid, signal.SIGKILL)
    assert children.wait(process) == -signal.SIGKILL
    assert next(looks, None) is None


def test_waiting_gives_up_when_the_time_is_over(
    children: ChildProcesses, shell: Callable[[str], Any]
) -> None:
    assert children.wait(shell("sleep 300"), 0.1) is None


def test_after_the_end_of_all_none_runs_and_none_can_be_started(
    children: ChildProcesses, shell: Callable[[str], Any]
) -> None:
    processes = [shell("trap '' TERM; setsid sleep 300 & sleep 300"), shell("sleep 300")]
    children.stop_all()
    assert all(process.returncode is not None for process in processes)
    with pytest.raises(RuntimeError, match="shutting down"):
        shell("true")


def _is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


class TestFamilies:
    """Children that live and end together, as those of one instance do."""

    @pytest.fixture
    def start(self, children: ChildProcesses, lines: list[str]) -> Callable[..., Any]:
        """Start a shell command in a family."""
        return lambda command, family="instance": children.start(
            ["bash", "-c", command], env=dict(os.environ), on_line=lines.append, family=family
        )

    @pytest.fixture
    def left(self, children: ChildProcesses, start: Callable[..., Any], lines: list[str]) -> psutil.Process:
        """A process that a child left running in a session of its own."""
        children.wait(start("setsid sh -c 'echo $$; exec sleep 300 >/dev/null 2>&1' &"))
        return psutil.Process(int(lines[0]))

    def test_what_a_child_leaves_lives_until_the_family_ends(
        self, children: ChildProcesses, left: psutil.Process
    ) -> None:
        assert left.is_running()
        children.stop_family("other", 0)
        assert left.is_running()
        children.stop_family("instance", PATIENCE)
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE

    def test_what_a_child_leaves_ends_with_the_server(
        self, children: ChildProcesses, left: psutil.Process
    ) -> None:
        children.stop_all()
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE

    def test_each_may_end_in_order(
        self,
        children: ChildProcesses,
        start: Callable[..., Any],
        lines: list[str],
        eventually: Callable[..., Any],
    ) -> None:
        for number in "12":
            start(f"trap 'echo tidied {number}; exit' TERM; echo ready; while :; do sleep 0.1; done")
        eventually(lambda: lines == ["ready", "ready"])
        children.stop_family("instance", PATIENCE)
        assert sorted(line for line in lines if "tidied" in line) == ["tidied 1", "tidied 2"]

    def test_one_that_is_stopped_leaves_nothing(
        self,
        children: ChildProcesses,
        start: Callable[..., Any],
        lines: list[str],
        eventually: Callable[..., Any],
    ) -> None:
        process = start("setsid sleep 300 >/dev/null 2>&1 & echo $!; wait")
        eventually(lambda: lines)
        children.stop(process, 0)
        left = int(lines[0])
        assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_errors_may_come_apart(children: ChildProcesses, lines: list[str]) -> None:
    errors: list[str] = []
    command = ["bash", "-c", "echo one; echo two >&2; printf three"]
    children.wait(children.start(command, env={}, on_line=lines.append, on_error_line=errors.append))
    assert (lines, errors) == (["one", "three"], ["two"])
