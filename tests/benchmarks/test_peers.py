"""The environment of the alternative programs, which is created once, whoever asks for it first."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers


def test_two_that_ask_at_the_same_time_get_one_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# none\n")
    monkeypatch.setattr(peers, "REQUIREMENTS", requirements)
    monkeypatch.setattr(peers, "ENVIRONMENT", tmp_path / ".local" / "peers")
    installations: list[Any] = []
    run = subprocess.run

    def count(command: list[str], **options: Any) -> Any:
        installations.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", count)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: peers.peers(), range(2)))

    assert len(installations) == 1
    assert found == [tmp_path / ".local" / "peers" / "bin"] * 2
    assert (found[0] / "python").exists()
