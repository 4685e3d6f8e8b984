"""The env files for docker-compose.yaml are written once and readable only by their owner."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from include.laptop.env_file import main


def test_files_are_private(tmp_path: Path) -> None:
    main(tmp_path)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
        ".env": 0o600,
        ".env.aws": 0o600,
    }


def test_existing_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=mine\n")
    main(tmp_path)
    assert (tmp_path / ".env").read_text() == "POSTGRES_PASSWORD=mine\n"
    assert (tmp_path / ".env.aws").exists()


def test_secrets_are_unique(tmp_path: Path) -> None:
    values: set[str] = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        main(tmp_path / name)
        values |= {line.partition("=")[2] for line in (tmp_path / name / ".env").read_text().splitlines()}
    assert len(values) == 2 * 5


def test_full_disk_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int, *_: Any, **__: Any) -> Any:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fdopen", full)
    assert main(tmp_path) == 1
    assert ".env can't be written: No space left on device. Make" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
