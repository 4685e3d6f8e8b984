"""DAGs run by Airflow in this process against local AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import deploy
from include.pipeline.settings import load_project
from tests.include.pipeline.standing import Standing

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def standing(local_aws: Any, eventually: Callable[..., Any]) -> Iterator[Standing]:
    """The project sample on local AWS, where Airflow's clients go by themselves."""
    initdb()
    environment = pytest.MonkeyPatch()
    for name, value in {
        "IMAGE_CLASSIFIER_TARGET": "local",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "AWS_ENDPOINT_URL": local_aws.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }.items():
        environment.setenv(name, value)
    deploy(local_aws.url)
    project = load_project(REPOSITORY / "include" / "projects" / "sample.yaml")
    yield Standing(project, local_aws.client, eventually)
    environment.undo()
