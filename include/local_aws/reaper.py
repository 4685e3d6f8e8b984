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
    return [process for process in psutil.process_iter() if _is_marked(process, mark)]


def kill_marked(mark: str) -> None:
    """Kill every process whose mark begins with this one.

    A process group is not enough: torchrun, for one, starts its workers in sessions of their own.
    """
    for _ in range(_ATTEMPTS):
        found = marked(mark)
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if not found:
            return
        # Not psutil.wait_procs: it would take the exit status of the server's own children from subprocess.
        time.sleep(_POLL_SECONDS)


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK, "").startswith(mark)
    except (psutil.Error, OSError):
        return False


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
