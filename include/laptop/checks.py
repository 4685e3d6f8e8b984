"""What has to be right on this machine before a stack is started: its ports, its folder and its disk."""

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
from include.laptop.places import Places

# A run of the project sample writes some 100 MB; below this, Airflow and jobs fail one after the other.
STATE_BYTES = 500_000_000
TEMPORARY_BYTES = 50_000_000
HIGHEST_PORT = 65535
COMMAND_LETTERS = 100


class StackError(LaptopError):
    """The stack can't be brought up; the message says what is in the way and what to do."""


def check_ports(places: Places) -> None:
    """See that Airflow and local AWS can listen on their ports.

    :raises StackError: if one is no port, both are the same, or one is taken.
    """
    ports = {"AIRFLOW_PORT": places.airflow_port, "AWS_PORT": places.aws_port}
    for variable, port in ports.items():
        if not 1 <= port <= HIGHEST_PORT:
            raise StackError(
                f"{variable} is {port}; choose a port from 1 to {HIGHEST_PORT}, such as {_other(0)}."
            )
    if places.airflow_port == places.aws_port:
        raise StackError(
            f"AIRFLOW_PORT and AWS_PORT are both {places.aws_port}; choose another port for one of them, such as "
            f"AWS_PORT={_other(places.aws_port)}."
        )
    for variable, port in ports.items():
        _check_free(port, variable)


def check_disk(places: Places) -> None:
    """See that there is room for what the stack writes, in its folder and in that for temporary files.

    :raises StackError: if there is not.
    """
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        raise StackError(
            f"{error.strerror}. Make room in one of them, or set TMPDIR to a folder on another disk."
        ) from error
    for folder, needed, way_out in (
        (places.state_dir, STATE_BYTES, "move the repository to a larger disk"),
        (temporary, TEMPORARY_BYTES, "set TMPDIR to a folder on another disk"),
    ):
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if free < needed:
            raise StackError(
                f"Only {free / 1e6:.0f} MB are free in {folder}; the stack needs {needed / 1e6:.0f} MB there. "
                f"Make room, or {way_out}."
            )
        if disk.f_files and not disk.f_favail:
            raise StackError(f"The disk of {folder} can hold no more files. Delete some, or {way_out}.")


@contextmanager
def own_files(places: Places) -> Iterator[None]:
    """Say in a sentence that the stack's own files can't be read or written.

    :raises StackError: in place of an error of the system, or of a file that holds something else.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or places.state_dir
        raise StackError(
            f"{where} can't be used: {error.strerror}. The stack keeps its files in {places.state_dir}, which has to "
            "be a folder that you may write to, on a disk with room."
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StackError(
            f"A file in {places.state_dir} is damaged ({error}). Run `make down`, delete keys.json, passwords.json and "
            "ports.json there, and start again."
        ) from error


def _check_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = f"choose another port with {variable}={_other(port)}"
            if error.errno != errno.EADDRINUSE:
                raise StackError(
                    f"Port {port} of 127.0.0.1 can't be used: {error.strerror}; {other}."
                ) from error
            raise StackError(
                f"Port {port} of 127.0.0.1 is taken by {_listener(port)}: stop that, or {other}."
            ) from error


def _listener(port: int) -> str:
    """Name the process that listens on a port, where the system tells."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                command = shlex.join(psutil.Process(connection.pid).cmdline())
                shown = command if len(command) <= COMMAND_LETTERS else f"{command[:COMMAND_LETTERS]}…"
                return f"process {connection.pid} ({shown})"
    except (psutil.Error, OSError):  # macOS tells only root
        pass
    return "another program"


def _other(port: int) -> int:
    return port + 1000 if 1024 <= port <= HIGHEST_PORT - 1000 else 18080
