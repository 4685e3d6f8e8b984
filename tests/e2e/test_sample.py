"""Test the project `sample` on the whole stack: Airflow with all its components, and local AWS.

A run on the whole stack is slow, so there are few runs, and several tests check each of them. What needs no scheduler,
API or triggerer is tested with DAGs that run in the process of the test: in test_releases.py, in test_killed_runs.py
and in tests/dags.

The tests can run alone and in any order.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from nbclient import NotebookClient

from include.laptop.airflow_api import AirflowApi, run_path
from include.laptop.credentials import ADMIN
from include.laptop.environment import aws_settings
from include.laptop.stack import Stack
from include.pipeline.data.drawings import DrawnMembers
from tests.e2e.sample_runs import (
    RELEASE,
    RUN_SECONDS,
    TEARDOWN,
    Approved,
    Client,
    ask,
    await_state,
    invoke,
    run,
    serving,
    start,
    states,
)
from tests.e2e.test_kills import kill_component

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

REMOVE = {"dry_run": False, "confirm": "sample", "delete_registry": True}


def announce_images(airflow: AirflowApi) -> str:
    """Create an asset event for new images, as in docs/operating.md, and return the id of the run that it starts."""
    (asset,) = airflow.ask("GET", "assets", params={"name_pattern": "sample.data"})["assets"]
    airflow.ask("POST", "assets/events", json={"asset_id": asset["id"]})
    deadline = time.monotonic() + RUN_SECONDS
    while not (started := airflow.unfinished_runs(RELEASE)):
        assert time.monotonic() < deadline, "no run started"
        time.sleep(0.2)
    return started[0].run_id


def log_of(airflow: AirflowApi, dag_id: str, run_id: str, task_id: str) -> str:
    task = next(task for task in airflow.task_instances(dag_id, run_id) if task.task_id == task_id)
    return "\n".join(airflow.log(dag_id, run_id, task))


def jobs(aws: Client) -> dict[str, list[str]]:
    """Return the names of the training jobs, the tuning jobs and the jobs that compute features."""
    sagemaker = aws("sagemaker")
    return {
        "training": sorted(
            job["TrainingJobName"]
            for job in sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        ),
        "tuning": sorted(
            job["HyperParameterTuningJobName"]
            for job in sagemaker.list_hyper_parameter_tuning_jobs(MaxResults=100)[
                "HyperParameterTuningJobSummaries"
            ]
        ),
        "features": sorted(
            job["ProcessingJobName"]
            for job in sagemaker.list_processing_jobs(NameContains="features", MaxResults=100)[
                "ProcessingJobSummaries"
            ]
        ),
    }


def tagged(aws: Client) -> list[str]:
    found = aws("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": ["sample"]}]
    )
    return [resource["ResourceARN"] for resource in found["ResourceTagMappingList"]]


def test_images_become_a_served_scaled_and_tested_model(
    airflow: AirflowApi, aws: Client, approved: Approved
) -> None:
    found = states(airflow, RELEASE, approved.run_id)
    assert approved.state == "success", found
    not_needed = {task: found.pop(task) for task in ("prepare_ec2", "train_on_ec2", "rollback")}
    assert set(not_needed.values()) == {"skipped"}
    assert set(found.values()) == {"success"}
    smoke_test = airflow.xcom(RELEASE, approved.run_id, "smoke_test")
    assert len({request["truth"] for request in smoke_test["requests"]}) == 5
    assert airflow.xcom(RELEASE, approved.run_id, "report")["test_accuracy"] >= 0.9


@pytest.mark.usefixtures("live")
def test_the_endpoint_may_scale_and_the_function_is_kept_warm(aws: Client) -> None:
    target = aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    assert [(item["MinCapacity"], item["MaxCapacity"]) for item in target] == [(1, 2)]
    concurrency = aws("lambda").get_provisioned_concurrency_config(FunctionName="sample", Qualifier="live")
    assert concurrency["Status"] == "READY"


@pytest.mark.usefixtures("live")
def test_the_function_answers_with_labels_and_probabilities(aws: Client) -> None:
    answer = ask(aws)
    assert answer["predictions"][0]["label"] == "004.star"
    assert sum(prediction["probability"] for prediction in answer["predictions"]) == pytest.approx(
        1, abs=1e-3
    )
    assert answer["model"].startswith("sample-model-")


@pytest.mark.usefixtures("live")
def test_the_function_reads_from_the_projects_own_prefix_in_s3_and_fetches_nothing_private(
    aws: Client,
) -> None:
    s3 = aws("s3")
    (bucket,) = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    data = s3.list_objects_v2(Bucket=bucket, Prefix="sample/data/")["Contents"]
    key = next(item["Key"] for item in data if item["Key"].endswith("test/005.triangle/triangle_000.png"))
    assert invoke(aws, {"s3": f"s3://{bucket}/{key}"})["predictions"][0]["label"] == "005.triangle"
    for refused in ({"s3": f"s3://{bucket}/another/project.png"}, {"url": "http://127.0.0.1:1/picture.png"}):
        assert invoke(aws, refused)["status"] == 400


def test_a_person_who_may_only_look_decides_nothing(approved: Approved) -> None:
    assert "with 403" in approved.refusal


def test_an_approved_model_goes_live(airflow: AirflowApi, approved: Approved) -> None:
    smoke_test = states(airflow, RELEASE, approved.run_id)["smoke_test"]
    assert (smoke_test, approved.package["ModelApprovalStatus"]) == ("success", "Approved")
    assert f"Approved by {ADMIN}" in approved.package["ApprovalDescription"]


def test_word_of_new_images_starts_a_run_which_ends_early_if_they_are_the_same(
    airflow: AirflowApi, aws: Client, live: str
) -> None:
    before = jobs(aws)
    run_id = announce_images(airflow)
    assert airflow.wait(RELEASE, run_id, RUN_SECONDS) == "success"
    found = states(airflow, RELEASE, run_id)
    assert (found["stage_data"], found["check_for_changes"], found["train"]) == (
        "success",
        "skipped",
        "skipped",
    )
    assert "nothing is read or sent" in log_of(airflow, RELEASE, run_id, "stage_data")
    assert "made from the same images" in log_of(airflow, RELEASE, run_id, "check_for_changes")
    assert jobs(aws) == before
    assert ask(aws)["model"] == live


def test_a_bad_data_set_is_refused_at_once_and_what_is_live_stays(
    airflow: AirflowApi, aws: Client, tmp_path: Path, live: str
) -> None:
    members = DrawnMembers()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for path, picture in members.read(members.files()):
            archive.writestr(path, picture)
            if path.startswith("train/"):
                leaked = picture
        archive.writestr("test/001.circle/leaked.png", leaked)
    run_id, state = run(airflow, RELEASE, dataset=str(tmp_path / "bad.zip"))
    assert state == "failed"
    tasks = {task.task_id: task for task in airflow.task_instances(RELEASE, run_id)}
    assert (tasks["stage_data"].state, tasks["stage_data"].try_number) == ("failed", 1)
    assert "in another split" in log_of(airflow, RELEASE, run_id, "stage_data")
    assert tasks["rollback"].state == "skipped"
    assert ask(aws)["model"] == live


@dataclass(frozen=True)
class Stops:
    """A release of another model that is paused, and loses its API server and its scheduler.

    :param before: the model that served before.
    :param run_id: the id of the run.
    :param paused: the states of its tasks when the DAG was paused and the endpoint had been updated.
    :param serving: the model that answered then.
    :param suspended: whether scaling was suspended then.
    :param refusal: the answer of Airflow when the run was to be deleted then.
    :param state: the state in which the run has ended.
    """

    before: str
    run_id: str
    paused: dict[str, str | None]
    serving: str
    suspended: bool
    refusal: str
    state: str


@pytest.fixture(scope="module")
def stops(
    airflow: AirflowApi,
    aws: Client,
    whole_stack: Stack,
    approved: Approved,
    eventually: Callable[..., Any],
) -> Stops:
    """Stop a release with another training in several ways."""
    if serving(aws) is None:  # another test has torn the project down
        run(airflow, RELEASE)
    before = ask(aws)["model"]
    run_id = start(airflow, RELEASE, instance_count=2)
    # The endpoint may be updated within a second or two, which no test has to see: several steps follow.
    await_state(airflow, run_id, "deploy_endpoint", "deferred", "success")
    airflow.ask_again("PATCH", f"dags/{RELEASE}", json={"is_paused": True})
    kill_component(whole_stack, "api-server")
    eventually(lambda: whole_stack.health()["metadatabase"] == "healthy")
    await_state(airflow, run_id, "deploy_endpoint", "scheduled", "success")
    paused = states(airflow, RELEASE, run_id)
    meanwhile = ask(aws)["model"]
    (target,) = aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    refusal = ""
    try:
        airflow.request("DELETE", run_path(RELEASE, run_id)).raise_for_status()
    except requests.HTTPError as error:
        refusal = str(error)
    airflow.unpause(RELEASE)
    # The smoke test takes a second or two, so that it may be over on a busy machine.
    await_state(airflow, run_id, "move_alias", "success")
    await_state(airflow, run_id, "smoke_test", "queued", "running", "success", pause=0.1)
    kill_component(whole_stack, "scheduler")
    return Stops(
        before,
        run_id,
        paused,
        meanwhile,
        target["SuspendedState"]["DynamicScalingOutSuspended"],
        refusal,
        airflow.wait(RELEASE, run_id, RUN_SECONDS),
    )


def test_a_run_is_deleted_only_after_it_has_ended(airflow: AirflowApi, stops: Stops) -> None:
    assert "409" in stops.refusal
    ended, state = run(airflow, RELEASE, train_on="ec2", instance_count=2)  # which preflight refuses
    assert state == "failed"
    airflow.request("DELETE", run_path(RELEASE, ended)).raise_for_status()
    assert ended not in {each.run_id for each in airflow.runs(RELEASE, ["failed"])}


def test_while_the_dag_is_paused_an_untested_model_may_serve(airflow: AirflowApi, stops: Stops) -> None:
    assert stops.serving == airflow.xcom(RELEASE, stops.run_id, "create_model") != stops.before
    assert stops.suspended
    assert stops.paused["smoke_test"] is None


def test_a_release_survives_a_pause_a_killed_api_server_and_a_killed_scheduler(
    airflow: AirflowApi, aws: Client, stops: Stops
) -> None:
    found = states(airflow, RELEASE, stops.run_id)
    assert stops.state == "success", found
    assert (found["smoke_test"], found["rollback"]) == ("success", "skipped")
    package = aws("sagemaker").describe_model_package(
        ModelPackageName=airflow.xcom(RELEASE, stops.run_id, "register")["arn"]
    )
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["CustomerMetadataProperties"].get("released")


def execute_notebook(stack: Stack, checks: str) -> list[Any]:
    """Execute the notebook of the notebook instance and then the checks, and return the outputs of all cells."""
    (path,) = stack.paths.aws_dir.glob("*/notebooks/sample-workspace/home/ec2-user/SageMaker/sample/*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(checks))
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env={**os.environ, **aws_settings(stack.paths)})
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.usefixtures("workspace", "live")
def test_a_workspace_has_a_notebook_that_works(aws: Client, whole_stack: Stack) -> None:
    (instance,) = aws("sagemaker").list_notebook_instances()["NotebookInstances"]
    assert instance["NotebookInstanceStatus"] == "InService"
    known = set(jobs(aws)["training"])
    outputs = execute_notebook(
        whole_stack,
        "assert list(counts.sum()) == [300, 75, 75], counts\n"
        "assert len(trials) == 2\n"
        "assert metrics['validation:accuracy'] > 0.5, metrics\n"
        "assert list(predictions['prediction']) == list(predictions['class']), predictions\n",
    )
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    (name,) = set(jobs(aws)["training"]) - known
    job = aws("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["HyperParameters"]["epochs"]) == ("Completed", "3")
    assert job["TrainingJobArn"] in tagged(aws)


@pytest.mark.usefixtures("workspace", "live")
def test_a_teardown_leaves_nothing_tagged(airflow: AirflowApi, aws: Client) -> None:
    assert tagged(aws)
    run_id, state = run(airflow, TEARDOWN, **REMOVE)
    assert state == "success", states(airflow, TEARDOWN, run_id)
    assert tagged(aws) == []
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    assert aws("sagemaker").list_notebook_instances()["NotebookInstances"] == []
