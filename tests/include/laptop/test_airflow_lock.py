"""requirements/airflow.lock: the packages for an Airflow of the user."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.laptop.airflow_lock import LOCK, REQUIREMENTS, write
from include.laptop.lock import PYTHONS, ROOT, compile_requirements

UNREACHABLE = ("Failed to fetch", "error sending request", "Connection", "timed out", "dns error")


def pins(path: Path) -> set[str]:
    """Return each ``package==version`` of a file, without markers and hashes, and without those for Windows."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        found[0] for line in lines if "win32'" not in line and (found := re.match(r"[\w.-]+==[\w.!+]+", line))
    }


def online(act: Callable[..., Any], *arguments: Any) -> None:
    """Call a function, or skip the test if the package index can't be reached."""
    try:
        act(*arguments)
    except subprocess.CalledProcessError as error:
        if any(word in error.stderr for word in UNREACHABLE):
            pytest.skip(f"the package index can't be reached: {error.stderr.splitlines()[0]}")
        raise AssertionError(error.stderr) from error


def test_lock_contains_versions_of_the_constraints_with_hashes() -> None:
    assert pins(LOCK) <= pins(ROOT / "constraints.txt")
    entries = re.split(r"\n(?=\w)", LOCK.read_text(encoding="utf-8").partition("\na")[2])
    assert len(entries) > 100
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_lock_is_up_to_date(tmp_path: Path) -> None:
    online(write, tmp_path / "airflow.lock")
    assert pins(tmp_path / "airflow.lock") == pins(LOCK)


@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_can_be_resolved(tmp_path: Path, python: str) -> None:
    found = tmp_path / "found.txt"
    online(compile_requirements, REQUIREMENTS, "--python-version", python, "--output-file", str(found))
    assert "apache-airflow==" in found.read_text(encoding="utf-8")
