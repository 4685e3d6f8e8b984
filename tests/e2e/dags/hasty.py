"""The release of a project whose runs miss their deadline at once, and whose approval times out after seconds."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow.sdk import DAG

from include.pipeline.project_files import load_project

FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER.parents[2] / "dags"))
from train_and_deploy import build  # noqa: E402

dag: DAG = build(load_project(FOLDER / "hasty.yaml"))
dag.fileloc = __file__
