"""Check this machine before a stack is started: its ports, its folder and its disk."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from include.laptop.errors import LaptopError
from include.laptop.stack_paths import StackPaths

# A run of the project sample writes about 100 MB. With less, Airflow and the jobs fail one after the other.
STATE_BYTES = 500_000_000
TEMPORARY_BYTES = 50_000_000
HIGHEST_PORT = 65535
COMMAND_LETTERS = 100


class StackError(LaptopError):
    """The stack can't be started. The message says why and what to do."""


def check_ports(paths: StackPaths) -> None:
    """Check that Airflow and local AWS can listen on their ports.

    :raises StackError: If a port is invalid or taken, or both are the same.
    """
    ports = {"AIRFLOW_PORT": paths.airflow_port, "AWS_PORT": paths.aws_port}
    for variable, port in ports.items():
        if not 1 <= port <= HIGHEST_PORT:
            raise StackError(
                f"{variable} is {port}. Set it to a port from 1 to {HIGHEST_PORT}, such as {_other(0)}."
            )
    if paths.airflow_port == paths.aws_port:
        raise StackError(
            f"AIRFLOW_PORT and AWS_PORT are both {paths.aws_port}. Set one of them to another port, such as "
            f"AWS_PORT={_other(paths.aws_port)}."
        )
    for variable, port in ports.items():
        _check_free(port, variable)


def check_disk(paths: StackPaths) -> None:
    """Check that the folder of the stack and the folder for temporary files have enough free space.

    :raises StackError: If they have not.
    """
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        raise StackError(
            f"{error.strerror}. Free disk space in one of them, or set TMPDIR to a folder on another disk."
        ) from error
    for folder, needed, way_out in (
        (paths.state_dir, STATE_BYTES, "move the repository to a larger disk"),
        (temporary, TEMPORARY_BYTES, "set TMPDIR to a folder on another disk"),
    ):
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if free < needed:
            raise StackError(
                f"Only {free / 1e6:.0f} MB are free in {folder}, but the stack needs {needed / 1e6:.0f} MB there. "
                f"Free disk space, or {way_out}."
            )
        if disk.f_files and not disk.f_favail:
            raise StackError(f"The disk of {folder} has no free inodes. Delete files, or {way_out}.")


@contextmanager
def own_files(paths: StackPaths) -> Iterator[None]:
    """Convert errors on the stack's own files to a message for the user.

    :raises StackError: If a file can't be read or written, or has invalid content.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or paths.state_dir
        raise StackError(
            f"{where} can't be used: {error.strerror}. The stack stores its files in {paths.state_dir}, which must "
            "be a writable folder on a disk with free space."
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StackError(
            f"A file in {paths.state_dir} is damaged ({error}). Run `make down`, delete keys.json, passwords.json and "
            "ports.json there, and start again."
        ) from error


def _check_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = f"set another port, such as {variable}={_other(port)}."
            if error.errno != errno.EADDRINUSE:
                raise StackError(
                    f"Port {port} of 127.0.0.1 can't be used: {error.strerror}. To fix this, {other}"
                ) from error
            raise StackError(
                f"Port {port} of 127.0.0.1 is used by {_listener(port)}. Stop it, or {other}"
            ) from error


def _listener(port: int) -> str:
    """Return the process that listens on a port, if the operating system reports it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                command = shlex.join(psutil.Process(connection.pid).cmdline())
                shown = command if len(command) <= COMMAND_LETTERS else f"{command[:COMMAND_LETTERS]}…"
                return f"process {connection.pid} ({shown})"
    except (psutil.Error, OSError):  # macOS reports it only to root
        pass
    return "another program"


def _other(port: int) -> int:
    return port + 1000 if 1024 <= port <= HIGHEST_PORT - 1000 else 18080
