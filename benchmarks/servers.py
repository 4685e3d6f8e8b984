"""Start and stop servers for the benchmarks, on this machine and on one core."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 600
"""The time after which a server is taken for one that hangs. On a busy machine, Ray starts within minutes."""
STOP_SECONDS = 20
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def on_one_core(command: list[str]) -> list[str]:
    """Return a command that runs another one with all threads on one core, if the system supports it."""
    start = "import os, sys; core = max(os.sched_getaffinity(0)); os.sched_setaffinity(0, {core}); "
    run = "os.execvp(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", start + run, *command] if hasattr(os, "sched_setaffinity") else command


@contextmanager
def running(
    command: list[str], port: int, path: str, environment: Mapping[str, str], log: Path, folder: Path
) -> Iterator[None]:
    """Run a server until the end of the block, which starts when a GET of ``path`` returns status 200.

    :param log: The file for its output, which is shown if it does not start.
    :param folder: The working folder.
    :raises RuntimeError: If it exited, or did not respond in time.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port, path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[-1]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        _end(process)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # including its workers
        process.wait()
