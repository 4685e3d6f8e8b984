"""The kept process of a warm pool: imports PyTorch once and forks for each program that it is asked to run.

``python -P warm_process.py FD``: FD is a listening Unix socket. ``warm_client.py`` sends a program over it, stands
for the program where it was started, and ends with it. Each client gets a keeper, forked as well, which watches
over the program. What is imported here has only been imported: nothing has been computed, so no thread of PyTorch
is lost in a fork. Linux only.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import psutil

_IMPORTED = ("torch", "torchvision", "boto3")
"""What takes long to import and is needed by AWS's toolkit or by nearly every script."""

_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.05


def main() -> None:
    """Serve for ever; in a program's process, run the program."""
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Else each program's end would go through all that PyTorch has made, which takes over a second.
    gc.freeze()
    _run(*_serve(socket.socket(fileno=int(sys.argv[1]))))


def _serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each client; returns only in a program's process, what to run and its standard streams."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a keeper ended
    while True:
        connection, _ = listener.accept()
        if _fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        header, streams, _, _ = socket.recv_fds(connection, 8, 3)
        if len(header) < 8:
            os._exit(0)  # the client was ended at once
        size = struct.unpack("!q", header)[0]
        request = json.loads(connection.recv(size, socket.MSG_WAITALL))
        # Whatever the program leaves behind becomes the keeper's child, so that it is found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        program = _fork()
        if not program:
            connection.close()
            return request, streams
        for stream in streams:
            os.close(stream)
        _keep(connection, program)
        os._exit(0)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of other threads; the only ones are OpenBLAS's, which look after forks themselves.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _keep(connection: socket.socket, program: int) -> None:
    """Pass signals on to the program, tell the client how it ended, and leave nothing of it.

    What the program started is killed with its end; but after a signal it has as long as the client, for the
    first to end is then often a launcher.
    """
    ended = os.pidfd_open(program)
    watched: list[Any] = [connection, ended]
    signaled = False
    while ended not in (ready := select.select(watched, [], [])[0]) or connection in ready:
        if connection not in ready:
            continue
        number = connection.recv(1)
        if not number:
            _kill_children()
            return
        signaled = True
        _signal(program, number[0])
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    while signaled and _children():
        if select.select([connection], [], [], _POLL_SECONDS)[0] and not connection.recv(1):
            break
    _kill_children()
    with contextlib.suppress(OSError):
        connection.sendall(struct.pack("!i", code))


def _signal(program: int, number: int) -> None:
    try:
        os.killpg(program, number)
    except ProcessLookupError:  # it has made no session yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, number)


def _children() -> list[psutil.Process]:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    return psutil.Process().children(recursive=True)


def _kill_children() -> None:
    while children := _children():
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _run(request: dict[str, Any], streams: list[int]) -> None:
    """Become the program, as if the interpreter had been started for it."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = request["executable"]
    sys.argv = request["command"]
    script = sys.argv[0]
    first = [str(Path(script).absolute().parent), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    sys.path[:0] = [entry for entry in dict.fromkeys(first) if entry not in sys.path]
    # Seeded from the system when they were imported: else all programs would draw the same numbers.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
