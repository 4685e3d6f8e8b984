"""include/serving/requirements.txt: the packages of the serving image."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from include.laptop.lock import ROOT
from include.laptop.serving_lock import LOCK, PYTHON, REQUIREMENTS, write

UNREACHABLE = ("Failed to fetch", "error sending request", "Connection", "timed out", "dns error")


def pins(path: Path) -> set[str]:
    return set(re.findall(r"^[\w.-]+==[\w.!+]+", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_lock_has_hashes_and_the_versions_of_the_tests() -> None:
    assert pins(LOCK) <= pins(ROOT / "constraints.txt")
    entries = re.split(r"\n(?=\w)", LOCK.read_text(encoding="utf-8"))[1:]
    assert len(entries) == len(pins(LOCK))
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_lock_is_complete_without_torch() -> None:
    wanted = {line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()} - {""}
    names = {pin.partition("==")[0] for pin in pins(LOCK)}
    assert wanted <= names
    assert not {"torch", "torchvision", "ray"} & names


def test_base_image_has_the_python_of_the_resolution() -> None:
    [base] = re.findall(r"^FROM (.*)$", (LOCK.parent / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"public\.ecr\.aws/docker/library/python:{re.escape(PYTHON)}-slim-[a-z]+", base)


def test_lock_is_up_to_date(tmp_path: Path) -> None:
    try:
        write(tmp_path / "requirements.txt")
    except subprocess.CalledProcessError as error:
        if any(word in error.stderr for word in UNREACHABLE):
            pytest.skip(f"the package index can't be reached: {error.stderr.splitlines()[0]}")
        raise AssertionError(error.stderr) from error
    assert pins(tmp_path / "requirements.txt") == pins(LOCK)
