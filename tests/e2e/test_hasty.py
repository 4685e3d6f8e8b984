"""Test what starts and ends without a person: a run for new images, its deadline and the timeout of an approval."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.laptop.airflow_api import run_path
from include.laptop.stack import Stack
from tests.e2e.pipeline import draw_images

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

RELEASE = "hasty.train_and_deploy"
BUCKET = "hasty"
END_SECONDS = 600
"""The time after which the test gives up waiting."""


def test_new_images_start_a_run_that_is_late_and_waits_for_no_person(
    impatient_stack: Stack,
    client_of: Callable[[Stack, str], Any],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    airflow = impatient_stack.api()
    soon = functools.partial(eventually, seconds=END_SECONDS)
    s3, sns, sqs, sagemaker, cloudformation = (
        client_of(impatient_stack, name) for name in ("s3", "sns", "sqs", "sagemaker", "cloudformation")
    )
    draw_images(tmp_path / "images.zip")
    s3.create_bucket(Bucket=BUCKET)
    (stack,) = cloudformation.describe_stacks()["Stacks"]
    topic = next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "TopicArn")
    mailbox = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:mailbox")

    soon(lambda: airflow.is_parsed(RELEASE))
    airflow.unpause(RELEASE)
    # Airflow starts the watcher of an asset when it parses a DAG file after the DAG was unpaused.
    file = airflow.ask("GET", f"dags/{RELEASE}")["file_token"]
    airflow.request("PUT", f"parseDagFile/{file}").raise_for_status()
    # What is there when the watcher looks for the first time is not new to it.
    (asset,) = airflow.ask("GET", "assets", params={"name_pattern": "hasty.data"})["assets"]
    soon(lambda: airflow.ask("GET", f"assets/{asset['id']}/state-store")["asset_state_store"])
    s3.upload_file(str(tmp_path / "images.zip"), BUCKET, "images.zip")
    (run,) = soon(lambda: airflow.unfinished_runs(RELEASE))

    (message,) = soon(lambda: sqs.receive_message(QueueUrl=mailbox).get("Messages"))
    message = json.loads(message["Body"])
    assert message["Subject"] == "hasty: a run takes too long"
    assert run.run_id in message["Message"]

    assert airflow.wait(RELEASE, run.run_id, 600, awaits_input=True) == "success"
    question = airflow.ask("GET", f"{run_path(RELEASE, run.run_id)}/taskInstances/approve/-1/hitlDetails")
    assert (question["chosen_options"], question["responded_by_user"]) == (["Reject"], None)
    states = {task.task_id: task.state for task in airflow.task_instances(RELEASE, run.run_id)}
    assert (states["approve"], states["record_approval"]) == ("success", "success")
    assert (states["deploy_endpoint"], states["report"]) == ("skipped", "success")
    (package,) = sagemaker.list_model_packages(ModelPackageGroupName="hasty")["ModelPackageSummaryList"]
    assert package["ModelApprovalStatus"] == "Rejected"
    described = sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    assert "no answer within" in described["ApprovalDescription"]
    assert not sagemaker.list_endpoints(NameContains="hasty")["Endpoints"]
