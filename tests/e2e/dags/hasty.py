"""The release of a project whose runs are late at once, and whose approval is waited for but a moment."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from airflow.sdk import DAG

from include.pipeline.settings import load_project

FOLDER = Path(__file__).parent
spec = importlib.util.spec_from_file_location("release", FOLDER.parents[2] / "dags" / "train_and_deploy.py")
assert spec is not None
assert spec.loader is not None
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

dag: DAG = release.build(load_project(FOLDER / "hasty.yaml"))
dag.fileloc = __file__
