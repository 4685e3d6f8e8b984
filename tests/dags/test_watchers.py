"""Projects that watch the same S3 URI."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.triggers.base import BaseEventTrigger

REPOSITORY = Path(__file__).parents[2]


def test_each_has_a_trigger_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fish", "birds"):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\ndescription: Tells {name} apart.\n"
            "data:\n  source: s3://photos/all/\n  watch_seconds: 60\n"
        )
    monkeypatch.setattr("include.pipeline.project_files.read_projects.__defaults__", (tmp_path,))
    dags = DagBag(str(REPOSITORY / "dags")).dags
    triggers = [
        watcher.trigger
        for name in ("fish", "birds")
        for asset in dags[f"{name}.train_and_deploy"].schedule  # type: ignore[union-attr]
        for watcher in asset.watchers
    ]
    # Airflow stores triggers with the same hash once, for all their assets.
    assert len({BaseEventTrigger.hash(*trigger.serialize()) for trigger in triggers}) == len(triggers) == 2
