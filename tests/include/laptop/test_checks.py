"""Problems that prevent the start of a stack, and repairs, are reported immediately and in one sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.laptop.checks import StackError, check_disk, check_ports
from include.laptop.stack import Stack
from include.laptop.stack_paths import REPOSITORY, StackPaths
from tests.free_ports import free_port

ROOMY = SimpleNamespace(f_bavail=10**9, f_frsize=4096, f_files=100, f_favail=100)


@pytest.mark.parametrize(
    ("airflow_port", "aws_port", "message"),
    [
        (70000, 5566, r"^AIRFLOW_PORT is 70000. Set it to a port from 1 to 65535, such as \d+\.$"),
        (8080, 0, r"^AWS_PORT is 0. Set it to a port"),
        (8080, -1, r"^AWS_PORT is -1. Set it to a port"),
        (8080, 8080, r"^AIRFLOW_PORT and AWS_PORT are both 8080. Set .* such as AWS_PORT=9080\.$"),
    ],
)
def test_invalid_ports_are_rejected(airflow_port: int, aws_port: int, message: str) -> None:
    with pytest.raises(StackError, match=message):
        check_ports(StackPaths(Path("/nowhere"), airflow_port, aws_port))


def test_process_that_uses_the_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            StackError,
            match=rf"Port {port} of 127.0.0.1 is used by process {os.getpid()} \(.+\). Stop it, or",
        ):
            check_ports(StackPaths(Path("/nowhere"), port, port - 1))


def test_other_errors_of_a_port_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("socket.socket.bind", refuse)
    with pytest.raises(
        StackError, match=r"Port 80 .* can't be used: Permission denied. .*AIRFLOW_PORT=18080"
    ):
        check_ports(StackPaths(Path("/nowhere"), 80, 5566))


@pytest.mark.parametrize(
    ("disk", "message"),
    [
        (
            {"f_bavail": 3, "f_frsize": 10**6},
            r"Only 3 MB are free in .*, but the stack needs 500 MB there\. Free disk space",
        ),
        ({"f_favail": 0}, "has no free inodes"),
    ],
)
@pytest.mark.parametrize("is_running", [False, True])
def test_full_disk_is_reported_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: dict[str, int], message: str, is_running: bool
) -> None:
    stack = Stack(tmp_path)
    monkeypatch.setattr(stack.supervision, "is_running", lambda: is_running)
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(**(vars(ROOMY) | disk)))
    with pytest.raises(StackError, match=message):
        stack.up()


def test_full_folder_for_temporary_files_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(**(vars(ROOMY) | {"f_bavail": 0}))
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/temporary")
    monkeypatch.setattr("os.statvfs", lambda folder: full if str(folder) == "/temporary" else ROOMY)
    with pytest.raises(StackError, match=r"Only 0 MB are free in /temporary.*TMPDIR"):
        check_disk(StackPaths(tmp_path))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("pathlib.Path.mkdir", OSError(errno.EROFS, "Read-only file system", "/here")),
        ("pathlib.Path.mkdir", PermissionError(errno.EACCES, "Permission denied", "/here")),
        ("include.laptop.credentials.os.replace", OSError(errno.ENOSPC, "No space left on device", "/here")),
    ],
)
def test_folder_that_is_not_writable_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    stack = Stack(tmp_path, free_port(), free_port())
    monkeypatch.setattr("os.statvfs", lambda _: ROOMY)
    monkeypatch.setattr(call, refuse)
    with pytest.raises(
        StackError, match=f"/here can't be used: {error.strerror}. The stack stores its files in"
    ):
        stack.up()
    assert not list(tmp_path.glob("*.json*"))  # no incomplete file is left


def test_state_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"file can't be used: .*must be a writable folder"):
        Stack(tmp_path / "file").up()


@pytest.mark.parametrize("name", ["passwords.json", "keys.json"])
def test_truncated_file_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"admin": ')
    with pytest.raises(StackError, match=r"is damaged .* delete keys\.json, passwords\.json"):
        Stack(tmp_path, free_port(), free_port()).up()


def test_truncated_file_of_ports_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "ports.json").touch()
    paths = StackPaths(tmp_path, 1, 2)
    assert paths.with_remembered_ports() == paths


def test_waiting_for_another_command_is_reported(tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        os.close(other)

    assert Stack(tmp_path, say=say).down() == 0
    assert said == ["Waiting for another command that is starting or stopping this stack"]


def test_program_that_supervisord_gave_up_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tmp_path, free_port(), free_port())
    stack.paths.make()
    monkeypatch.setattr(stack.supervision, "is_running", lambda: True)
    stack.supervision.log.write_text(
        "2026-01-01 00:00:00,000 INFO gave up: local-aws entered FATAL state, too many start retries too quickly\n"
    )
    stack.supervision.program_log("local-aws").write_text("no luck today\n")
    with pytest.raises(
        StackError, match=r"(?s)local-aws failed to start several times.*`make down`.*no luck today"
    ):
        stack.up()


def test_restarted_local_aws_gets_its_infrastructure_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_local_aws: Callable[..., Any]
) -> None:
    said: list[str] = []
    ended: list[str] = []
    run = SimpleNamespace(dag_id="sample.train_and_deploy", run_id="one", queued_at=None)
    api = SimpleNamespace(
        unfinished_runs=lambda: [run], fail_run=lambda run, note: ended.append(f"{run.run_id}: {note}")
    )
    with start_local_aws() as server:
        airflow_port = free_port()
        stack = Stack(tmp_path / "stack", airflow_port, int(server.url.rpartition(":")[2]), say=said.append)
        monkeypatch.setattr(stack.supervision, "is_running", lambda: True)
        monkeypatch.setattr(stack, "airflow_is_ready", lambda _: True)
        monkeypatch.setattr(stack, "api", lambda: api)
        assert not stack.up()
        assert "bucket and roles were created again" in said[0]
        assert "Local AWS was stopped" in ended[0]
        said.clear()
        assert not stack.up()
        assert said == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["include.laptop", "up", "--airflow-port", "70000"],
            "AIRFLOW_PORT is 70000. Set it to a port from 1 to 65535",
        ),
        (["include.laptop", "up", "--state-dir", "/dev/null"], "/dev/null can't be used"),
        (["include.laptop", "down", "--state-dir", "/dev/null"], "/dev/null can't be used"),
        (["include.local_aws", "--port", "70000"], "--port is 70000; choose a port from 1 to 65535."),
        (["include.local_aws", "--port", "0"], "--port is 0; choose a port from 1 to 65535."),
    ],
)
def test_errors_of_a_command_are_one_sentence(command: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
