"""Kills what a server's children left running; run as a program, it waits for the server's death first.

``python reaper.py TOKEN`` reads process group ids from standard input, ``+ID`` when one starts and ``-ID``
when it has ended. The server holds the other end, so however the server dies, the input ends.
"""

import os
import signal
import sys
import time

import psutil

MARK = "LOCAL_AWS_CHILD"
"""The environment variable that every child carries and hands to its own children."""

_ATTEMPTS = 200
_POLL_SECONDS = 0.05


def marked(mark: str) -> list[psutil.Process]:
    """Return every process whose mark begins with this one."""
    return [process for process in psutil.process_iter() if (_mark(process) or "").startswith(mark)]


def kill_marked(mark: str) -> None:
    """Kill every process whose mark begins with this one.

    A process group is not enough: torchrun, for one, starts its workers in sessions of their own.
    """
    seen: set[psutil.Process] = set()
    for _ in range(_ATTEMPTS):
        marks = {process: _mark(process) for process in psutil.process_iter()}
        found = [process for process, its in marks.items() if (its or "").startswith(mark)]
        # A process without an environment may only be starting another program: look again. If it still has none
        # then, it is not marked.
        unknown = {process for process, its in marks.items() if its is None}
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if not found and unknown <= seen:
            return
        seen |= unknown
        # Not psutil.wait_procs: it would take the exit status of the server's own children from subprocess.
        time.sleep(_POLL_SECONDS)


def _mark(process: psutil.Process) -> str | None:
    """Return the mark of a process, empty if it has none; None if its environment is empty.

    On Linux, it is empty for a moment while a process starts another program (execve).
    """
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return ""
    return environment.get(MARK, "") if environment else None


def _outlive(token: str) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    kill_marked(token)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _outlive(sys.argv[1])
