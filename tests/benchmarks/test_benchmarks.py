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


def test_a_ratio_above_one_means_ours_is_better() -> None:
    assert faster("speed", 20, 10, "peer", "images/s").ratio == 2
    assert cheaper("time", 10, 20, "peer", "ms").ratio == 2


def test_the_table_has_a_line_for_each_result() -> None:
    lines = as_table([faster("speed", 2000, 10, "unzip", "images/s")]).splitlines()
    assert lines[1].split() == ["speed", "2,000.00", "10.00", "unzip", "images/s", "200.00"]


def test_an_unknown_group_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "staging,cooking"])
    assert main() == 2
    assert (
        capsys.readouterr().err
        == "There is no benchmark cooking; there is: staging, sweep, train, serve, local.\n"
    )


def test_a_data_set_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only=sweep", "--dataset=nowhere.zip"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("There is no DATASET=nowhere.zip in ")


def test_staging_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the programs of others; they are installed the first time."""
    try:
        peers()
    except RuntimeError as error:
        pytest.skip(str(error))
    out = tmp_path / "latest.json"
    monkeypatch.setattr("sys.argv", ["bench", "--only=staging", "--images=100", "--rounds=1", f"--out={out}"])
    assert main() == 0
    results = json.loads(out.read_text())
    assert {result["name"] for result in results} == {
        "staging, speed, null sink",
        "staging, processor time, null sink",
        "staging, with all checks and the report, null sink",
        "staging, memory for 4 times the archive",
        "staging, speed, nanio",
        "staging, processor time, nanio",
    }
    assert all(result["ours"] > 0 and result["peer"] > 0 for result in results)


def test_a_byte_that_is_not_as_it_was_sent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def get_object(**_: object) -> dict[str, object]:
            return {"Body": io.BytesIO(b"other")}

    judged = SimpleNamespace(fingerprint="1", images={"train/a/1.jpg": SimpleNamespace(sha256="0" * 64)})

    monkeypatch.setattr(staging.clients, "client", lambda url: (Broken, None))
    with pytest.raises(ValueError, match=r"train/a/1\.jpg is not what was sent"):
        staging.check_bytes((None, judged), "http://127.0.0.1")
