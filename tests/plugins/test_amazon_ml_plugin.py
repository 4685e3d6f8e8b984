"""The plugin is fast to load, and Airflow registers and resolves its links."""

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


def test_airflow_finds_only_the_plugin_in_the_folder() -> None:
    plugins, errors = plugins_manager._get_plugins()  # noqa: SLF001
    assert not errors
    ours = {plugin.name: plugin for plugin in plugins if "amazon_ml" in str(plugin.source)}
    assert list(ours) == ["amazon_ml"]
    assert {type(link).__name__ for link in ours["amazon_ml"].operator_extra_links} == LINKS


def test_plugin_is_fast_to_load() -> None:
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


def test_links_of_an_operator_survive_serialization(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The scheduler and the DAG processor disable links in their processes.
    monkeypatch.setattr(DagSerialization, "_load_operator_extra_links", True)
    with DAG("linked", schedule=None) as dag:
        SageMakerResumableTrainingOperator(task_id="train", config={})
    task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("train")
    links = {link.name: link for link in task.operator_extra_links}
    assert set(links) == {"Amazon SageMaker Job", "Amazon SageMaker Job Logs"}
    assert all(isinstance(link, XComOperatorLink) for link in links.values())


def test_every_link_has_a_unique_name_and_key() -> None:
    plugins, _ = plugins_manager._get_plugins()  # noqa: SLF001
    links = next(plugin for plugin in plugins if plugin.name == "amazon_ml").operator_extra_links
    assert all(isinstance(link, BaseAwsLink) for link in links)
    assert len({link.key for link in links}) == len({link.name for link in links}) == len(links)
