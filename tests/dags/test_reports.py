"""The tasks that make reports: from what other tasks have returned to a page in S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from airflow.dag_processing.dagbag import DagBag
from moto import mock_aws
from pipeline_steps.results import PipelineResults

from include.pipeline import cost, live_version
from tests.dags.finished_tasks import RUN, task_instance
from tests.include.pipeline.pages import samples

ENVIRONMENT = {
    "bucket": "bucket",
    "sagemaker_role": "arn:aws:iam::123456789012:role/any",
    "function_role": "arn:aws:iam::123456789012:role/any",
    "region": "us-east-1",
    "account": "123456789012",
    "images": {"tuning": "i:1", "training": "i:1", "processing": "i:1", "inference": "i:2"},
}
PAGES = f"https://airflow.example.com/projects/sample/reports/runs/{RUN}"
LABELS = samples.classes(3)


@pytest.fixture(scope="module")
def dag_bag() -> DagBag:
    return DagBag(str(Path(__file__).parents[2] / "dags"))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        yield client


@pytest.fixture
def pushed() -> dict[str, Any]:
    return {}


@pytest.fixture
def context(pushed: dict[str, Any]) -> Any:
    """Of a task at the end of a run that went well."""
    returned = {"preflight": ENVIRONMENT, "check_for_changes": "inputs", **samples.results(LABELS)}
    ti = task_instance(returned)
    ti.xcom_push = lambda key, value: pushed.update({key: value})
    start = datetime(2026, 11, 12, 16, 5, tzinfo=UTC)
    dag_run = SimpleNamespace(run_id=RUN, start_date=start, run_after=start)
    return {"ti": ti, "dag_run": dag_run, "params": {"train_on": "sagemaker"}}


def page(s3: Any, name: str) -> str:
    text: str = s3.get_object(Bucket="bucket", Key=f"sample/runs/{RUN}/{name}")["Body"].read().decode()
    return text


def run_post_execute(dag_bag: DagBag, task_id: str, context: Any, result: Any) -> None:
    task = dag_bag.dags["sample.train_and_deploy"].get_task(task_id)
    task._post_execute_hook({**context, "task": task}, result)  # noqa: SLF001


def test_the_evaluation_of_a_job_that_was_done_before_gets_a_page(
    dag_bag: DagBag, s3: Any, context: Any, pushed: dict[str, Any]
) -> None:
    evaluation = {"images": 4, "candidate": {"accuracy": 0.75}}
    s3.put_object(Bucket="bucket", Key="sample/evaluate/e/evaluation.json", Body=json.dumps(evaluation))
    run_post_execute(dag_bag, "evaluate", context, {"name": "e", "output": "s3://bucket/sample/evaluate/e"})
    assert "Accuracy 0.750 on 4 test images." in page(s3, "evaluation.html")
    assert pushed["evaluation_report"] == f"{PAGES}/evaluation.html"


def test_the_trials_get_a_page(dag_bag: DagBag, s3: Any, context: Any, pushed: dict[str, Any]) -> None:
    run_post_execute(dag_bag, "tune", context, samples.results(LABELS)["tune"])
    assert "learning rate 0.00316 and batch size 32" in page(s3, "tuning.html")
    assert pushed["tuning_report"] == f"{PAGES}/tuning.html"


def test_the_report_says_what_is_true_now(
    dag_bag: DagBag, s3: Any, context: Any, pushed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = dag_bag.dags["sample.train_and_deploy"].get_task("report")
    done = PipelineResults({**context, "task": task})
    monkeypatch.setattr(done, "pushed", lambda task_id, key: done.context["ti"].xcom_pull(task_id, key))
    monkeypatch.setattr("pipeline_steps.verify_release.PipelineResults", lambda: done)
    monkeypatch.setattr(live_version, "read", lambda *where: samples.live())
    monkeypatch.setattr(cost, "actual", lambda *jobs: samples.billed())
    evaluation = {"images": 4, "candidate": {"accuracy": 0.75}}
    s3.put_object(Bucket="bucket", Key="sample/evaluate/e/evaluation.json", Body=json.dumps(evaluation))
    run_post_execute(dag_bag, "evaluate", context, {"name": "e", "output": "s3://bucket/sample/evaluate/e"})
    returned = task.python_callable()
    assert returned["now"].startswith("Version 3 is live since ")
    assert returned["now"].endswith("16:20 UTC, accuracy 0.875 (0.825 to 0.905).")
    assert returned["report"] == f"s3://bucket/sample/runs/{RUN}/report.html"
    assert returned["now"] in page(s3, "report.html")
    assert json.loads(json.dumps(returned))["test_accuracy"] == 0.875
    assert 'href="report.html"' in page(s3, "evaluation.html")
    assert pushed["run_report"] == f"{PAGES}/report.html"
