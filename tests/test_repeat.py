"""tests/repeat.sh: what it runs, what it prints, and that it ends the load that it starts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).with_name("repeat.sh")
Repeat = Callable[..., subprocess.CompletedProcess[str]]
QUICK_TEST = "tests/include/laptop/test_credentials.py"
# Stands in for make: it notes the options, passes the first time and fails from then on.
MAKE = """#!/bin/sh
echo "$PYTEST_ADDOPTS" >> {folder}/options
pgrep -P "$PPID" >> {folder}/children
if [ -e {folder}/again ]; then
    echo "FAILED tests/test_it.py::test_it - assert 0"
    echo "== 1 failed, 12 passed, 2 errors in 3.45s (0:00:03) =="
    exit 2
fi
touch {folder}/again
echo "== 13 passed, 1 skipped in 2.34s =="
"""


@pytest.fixture
def repeat(tmp_path: Path) -> Repeat:
    """Runs the script."""

    def run(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PATH": path, "TMPDIR": str(tmp_path)}
        return subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def make(tmp_path: Path) -> str:
    """A search path that leads to another make."""
    script = tmp_path / "make"
    script.write_text(MAKE.format(folder=shlex.quote(str(tmp_path))))
    script.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def test_each_run_is_a_line_and_one_that_fails_makes_the_script_fail(
    repeat: Repeat, make: str, tmp_path: Path
) -> None:
    done = repeat("2", path=make)
    where, first, second, failure, last = done.stdout.splitlines()
    folder = Path(where.removeprefix("The logs are in "))
    assert re.fullmatch(r"run 1: 13 passed, 0 failed, 0 errors, \d+ s", first)
    assert re.fullmatch(r"run 2: 12 passed, 1 failed, 2 errors, \d+ s", second)
    assert failure == "    FAILED tests/test_it.py::test_it - assert 0"
    assert re.fullmatch(r"2 runs: 1 passed, 1 failed \(2\), \d+ s", last)
    assert done.returncode == 1
    assert "1 skipped" in (folder / "run-1.log").read_text()
    options = (tmp_path / "options").read_text().splitlines()
    assert options == [f"--basetemp={folder}/run-{run} -m processes " for run in (1, 2)]


def test_the_load_lasts_as_long_as_the_runs(repeat: Repeat, make: str, tmp_path: Path) -> None:
    repeat("1", path=make)
    without_load = len((tmp_path / "children").read_text().split())
    (tmp_path / "children").unlink()
    repeat("1", "--load", path=make)
    children = [int(pid) for pid in (tmp_path / "children").read_text().split()]
    assert len(children) == without_load + 2
    assert not any(psutil.pid_exists(pid) for pid in children)


def test_other_tests_can_be_chosen(repeat: Repeat) -> None:
    done = repeat("1", "--", QUICK_TEST, "-k", "not (password or token)")
    assert done.returncode == 0, done.stdout
    log = Path(done.stdout.splitlines()[0].removeprefix("The logs are in ")) / "run-1.log"
    lines = log.read_text().splitlines()
    assert "run times" in log.read_text()
    assert re.search(r"passed in [0-9.]+s", lines[-1])


@pytest.mark.parametrize("arguments", [(), ("none",), ("0",), ("1", "--lod"), ("1", "--")])
def test_wrong_arguments_show_how_it_is_called(repeat: Repeat, arguments: tuple[str, ...]) -> None:
    done = repeat(*arguments)
    assert done.returncode == 2
    assert "tests/repeat.sh RUNS [--load] [-- PYTEST_ARGUMENTS]" in done.stderr
