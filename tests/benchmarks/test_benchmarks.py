"""The benchmarks: the table and the file, on few images."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import staging
from benchmarks.__main__ import main
from benchmarks.peers import peers
from benchmarks.results import as_table, cheaper, faster


def test_ratio_above_one_means_ours_is_better() -> None:
    assert faster("speed", 20, 10, "peer", "images/s").ratio == 2
    assert cheaper("time", 10, 20, "peer", "ms").ratio == 2


def test_table_has_a_line_for_each_result() -> None:
    lines = as_table([faster("speed", 2000, 10, "unzip", "images/s")]).splitlines()
    assert lines[1].split() == ["speed", "2,000.00", "10.00", "unzip", "images/s", "200.00"]


def test_unknown_group_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "staging,cooking"])
    assert main() == 2
    assert (
        capsys.readouterr().err
        == "Unknown benchmark cooking. Choose from staging, sweep, train, serve, local.\n"
    )


def test_missing_data_set_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only=sweep", "--dataset=nowhere.zip"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("DATASET=nowhere.zip does not exist in ")


def test_staging_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the alternative programs, which are installed the first time."""
    try:
        peers()
    except RuntimeError as error:
        pytest.skip(str(error))
    out = tmp_path / "latest.json"
    monkeypatch.setattr(staging, "TIMES_AS_MANY", (2,))
    monkeypatch.setattr("sys.argv", ["bench", "--only=staging", "--images=100", "--rounds=1", f"--out={out}"])
    assert main() == 0
    results = json.loads(out.read_text())
    assert {result["name"] for result in results} == {
        "staging, speed, null sink",
        "staging, CPU time, null sink",
        "staging, with all checks and the report, null sink",
        "staging, memory for 4 times the archive",
        *(f"staging, {count} tiny images, {what}" for count in (100, 200) for what in ("CPU time", "memory")),
        "staging, speed, nanio",
        "staging, CPU time, nanio",
    }
    assert all(result["ours"] > 0 and result["peer"] > 0 for result in results)


def test_changed_byte_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def get_object(**_: object) -> dict[str, object]:
            return {"Body": io.BytesIO(b"other")}

    judged = SimpleNamespace(fingerprint="1", images={"train/a/1.jpg": SimpleNamespace(sha256="0" * 64)})

    monkeypatch.setattr(staging.clients, "client", lambda url: (Broken, None))
    with pytest.raises(ValueError, match=r"train/a/1\.jpg differs from its file in the archive"):
        staging.check_bytes((None, judged), "http://127.0.0.1")
