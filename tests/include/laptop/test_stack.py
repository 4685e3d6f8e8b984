"""A stack that can not start, or was not started; tests/e2e/test_stack.py has one that runs."""

import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from include.laptop.stack import Stack, StackError
from include.laptop.stack_paths import REPOSITORY
from tests.free_ports import free_port


def test_used_port_is_an_error_with_the_variable_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"Port {port} .* AIRFLOW_PORT={port + 1000}"):
            Stack(tmp_path, airflow_port=port, aws_port=free_port()).up()


def test_failed_start_of_a_component_stops_the_stack_and_shows_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port(), free_port())
    stack.paths.make()
    (stack.paths.airflow_home / "airflow.db").touch()  # this test needs no real database
    (stack.paths.airflow_home / "migrated-to").write_text(version("apache-airflow-core"))
    stack.supervision.commands = {
        "api-server": ["sleep", "600"],
        "triggerer": ["sh", "-c", "echo no luck today; exit 3"],
    }
    with pytest.raises(
        StackError, match=r"(?s)triggerer exited during its start \(exit status 3\).*no luck today"
    ):
        stack.up()
    assert stack.supervision.processes() == []


def test_stopping_a_stack_that_is_not_running_succeeds(tmp_path: Path) -> None:
    down = subprocess.run(
        [sys.executable, "-m", "include.laptop", "down", "--state-dir", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (down.returncode, down.stdout) == (0, "Nothing was running\n")
