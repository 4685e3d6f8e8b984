"""The messages of interrupted commands, and the exit statuses."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.laptop.stack import Stack
from include.laptop.stack_paths import REPOSITORY


def command(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "include.laptop", *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_command_reports_what_keeps_running(
    hanging: Stack, eventually: Callable[..., Any], number: int, status: int
) -> None:
    up = command("up", "--state-dir", hanging.paths.state_dir)  # waits until everything is healthy
    eventually(hanging.is_changing)
    up.send_signal(number)
    _, said = up.communicate()
    count = len(hanging.supervision.processes())
    assert said == (
        f"Interrupted. Local AWS and Airflow keep running ({count} processes). `make status` shows them, "
        "`make down` stops them.\n"
    )
    assert up.returncode == status


def test_unknown_project_is_reported_in_one_sentence(tmp_path: Path) -> None:
    demo = command("demo", "--project", "cats", "--state-dir", tmp_path)
    printed, said = demo.communicate()
    assert (demo.returncode, printed, said.count("\n")) == (1, "", 1)
    assert said.startswith("PROJECT=cats does not exist. ")


def test_closed_pipe_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m include.laptop status --state-dir '{tmp_path}' | true"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
