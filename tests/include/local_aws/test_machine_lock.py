"""A lock between local AWS servers."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from include.local_aws.machine_lock import MachineLock

TAKE_AND_DIE = """
import os, sys
from include.local_aws.machine_lock import MachineLock

assert MachineLock(sys.argv[1]).acquire()
os._exit(3)
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return uuid.uuid4().hex


def test_one_at_a_time_has_it(name: str) -> None:
    first, second = MachineLock(name), MachineLock(name)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()


def test_who_does_not_have_it_releases_nothing(name: str) -> None:
    first, second = MachineLock(name), MachineLock(name)
    assert first.acquire()
    second.release()
    assert not second.acquire()


def test_another_process_that_dies_with_it_leaves_it_free(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(Path(MachineLock(name).path).parent))
    assert subprocess.run([sys.executable, "-c", TAKE_AND_DIE, name]).returncode == 3
    assert MachineLock(name).acquire()
