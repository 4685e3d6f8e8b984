"""The plugin: quick to load, and its links are registered and resolved as Airflow does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow import plugins_manager
from airflow.providers.amazon.aws.links.base_aws import BaseAwsLink
from airflow.sdk import DAG
from airflow.serialization.definitions.operatorlink import XComOperatorLink
from airflow.serialization.serialized_objects import DagSerialization
from amazon_ml.operators.sagemaker_jobs import SageMakerResumableTrainingOperator

REPOSITORY = Path(__file__).parents[2]
LINKS = {
    "SageMakerJobLink",
    "SageMakerJobLogsLink",
    "SageMakerEndpointLink",
    "SageMakerNotebookLink",
    "LambdaFunctionLink",
    "CommandLogsLink",
}


def test_airflow_finds_the_plugin_and_nothing_else_in_the_folder() -> None:
    plugins, errors = plugins_manager._get_plugins()
    assert not errors
    ours = {plugin.name: plugin for plugin in plugins if "amazon_ml" in str(plugin.source)}
    assert list(ours) == ["amazon_ml"]
    assert {type(link).__name__ for link in ours["amazon_ml"].operator_extra_links} == LINKS


def test_it_adds_little_to_airflows_start() -> None:
    code = (
        "import airflow.plugins_manager, airflow.providers.common.compat.sdk, sys; before = set(sys.modules); "
        "import amazon_ml_plugin; print(*(set(sys.modules) - before)); "
        "assert 'boto3' not in sys.modules and 'amazon_ml.operators' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "plugins")}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    added = answer.stdout.splitlines()[-1].split()
    assert {name.partition(".")[0] for name in added} <= {
        "airflow",
        "amazon_ml",
        "amazon_ml_plugin",
        "botocore",
    }
    assert len(added) < 40


def test_an_operators_links_survive_serialization_as_links_that_the_api_server_can_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Scheduler and DAG processor switch links off, for all of their process.
    monkeypatch.setattr(DagSerialization, "_load_operator_extra_links", True)
    with DAG("linked", schedule=None) as dag:
        SageMakerResumableTrainingOperator(task_id="train", config={})
    task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("train")
    links = {link.name: link for link in task.operator_extra_links}
    assert set(links) == {"Amazon SageMaker Job", "Amazon SageMaker Job Logs"}
    assert all(isinstance(link, XComOperatorLink) for link in links.values())


def test_every_link_has_a_name_and_a_key_of_its_own() -> None:
    plugins, _ = plugins_manager._get_plugins()
    links = next(plugin for plugin in plugins if plugin.name == "amazon_ml").operator_extra_links
    assert all(isinstance(link, BaseAwsLink) for link in links)
    assert len({link.key for link in links}) == len({link.name for link in links}) == len(links)
