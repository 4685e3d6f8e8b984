"""DAGs run by Airflow in this process against local AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import deploy
from include.pipeline.project_files import load_project
from tests.e2e.pipeline import tasks_asking
from tests.include.pipeline.standing import Standing

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def standing(local_aws: Any, eventually: Callable[..., Any]) -> Iterator[Standing]:
    """The project sample on local AWS, where Airflow's clients go by themselves."""
    initdb()
    project = load_project(REPOSITORY / "include" / "projects" / "sample.yaml")
    deploy(local_aws.url)
    with tasks_asking(local_aws.url):
        yield Standing(project, local_aws.client, eventually)
