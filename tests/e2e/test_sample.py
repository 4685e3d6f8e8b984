"""The project `sample` through Airflow on local AWS: from drawn pictures to predictions, and back to nothing.

The tests build on each other in the order in which they stand, as a user's runs do.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from nbclient import NotebookClient

from include.laptop.airflow_api import AirflowApi, AirflowApiError, _run
from include.laptop.credentials import VIEWER
from include.laptop.demo import browser_address
from include.laptop.environment import aws_settings
from include.laptop.stack import Stack
from include.pipeline.data.drawings import DrawnMembers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RELEASE, ROLLBACK = "sample.train_and_deploy", "sample.rollback"
TEARDOWN, WORKSPACE = "sample.teardown", "sample.workspace"
RUN_SECONDS = 600
REMOVE = {"dry_run": False, "confirm": "sample", "delete_registry": True}
Client = Callable[[str], Any]


def run(airflow: AirflowApi, dag_id: str, **conf: Any) -> tuple[str, str]:
    """Run a DAG to its end; returns the run's id and state."""
    run_id = start(airflow, dag_id, **conf)
    return run_id, airflow.wait(dag_id, run_id, RUN_SECONDS)


def start(airflow: AirflowApi, dag_id: str, **conf: Any) -> str:
    deadline = time.monotonic() + 60
    while not airflow.is_parsed(dag_id):
        assert time.monotonic() < deadline, airflow.import_errors()
        time.sleep(0.5)
    airflow.unpause(dag_id)
    return airflow.trigger(dag_id, conf)


def announce_images(airflow: AirflowApi) -> str:
    """Tell Airflow of new images, as docs/operating.md says, and return the id of the run that this starts."""
    (asset,) = airflow._ask("GET", "assets", params={"name_pattern": "sample.data"})["assets"]
    airflow._ask("POST", "assets/events", json={"asset_id": asset["id"]})
    deadline = time.monotonic() + 60
    while not (started := airflow.unfinished_runs(RELEASE)):
        assert time.monotonic() < deadline, "no run started"
        time.sleep(0.2)
    return started[0].run_id


def states(airflow: AirflowApi, dag_id: str, run_id: str) -> dict[str, str | None]:
    return {task.task_id: task.state for task in airflow.task_instances(dag_id, run_id)}


def await_question(airflow: AirflowApi, dag_id: str, run_id: str, task_id: str) -> str:
    """Wait until a task waits for a person; returns where its question is read and answered."""
    deadline = time.monotonic() + RUN_SECONDS
    while states(airflow, dag_id, run_id)[task_id] not in ("awaiting_input", "deferred"):
        assert time.monotonic() < deadline, states(airflow, dag_id, run_id)
        time.sleep(0.5)
    return f"{_run(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"


def log_of(airflow: AirflowApi, dag_id: str, run_id: str, task_id: str) -> str:
    task = next(task for task in airflow.task_instances(dag_id, run_id) if task.task_id == task_id)
    return "\n".join(airflow.log(dag_id, run_id, task))


def jobs(aws: Client) -> dict[str, list[str]]:
    """The names of all jobs, by their kind."""
    sagemaker = aws("sagemaker")
    return {
        "training": sorted(
            job["TrainingJobName"]
            for job in sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        ),
        "tuning": sorted(
            job["HyperParameterTuningJobName"]
            for job in sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
        ),
        "features": sorted(
            job["ProcessingJobName"]
            for job in sagemaker.list_processing_jobs(NameContains="features")["ProcessingJobSummaries"]
        ),
    }


def tagged(aws: Client) -> list[str]:
    found = aws("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": ["sample"]}]
    )
    # An instance is listed for a while after its end.
    gone = [instance for instance, state in instances(aws).items() if state == "terminated"]
    return [
        resource["ResourceARN"]
        for resource in found["ResourceTagMappingList"]
        if resource["ResourceARN"].rpartition("/")[2] not in gone
    ]


@functools.cache
def star() -> str:
    """One of the drawn pictures, as base64; to draw them takes seconds."""
    ((_, picture),) = DrawnMembers().read(["test/004.star/star_003.png"])
    return base64.b64encode(picture).decode()


def ask(aws: Client) -> dict[str, Any]:
    """What the function answers about a drawn picture."""
    return invoke(aws, {"image": star()})


def invoke(aws: Client, event: dict[str, Any]) -> dict[str, Any]:
    result = aws("lambda").invoke(FunctionName="sample", Qualifier="live", Payload=json.dumps(event))
    answer: dict[str, Any] = json.load(result["Payload"])
    return answer


@pytest.fixture(scope="module")
def first_run(airflow: AirflowApi) -> str:
    """The id of the run that released the first model."""
    run_id, state = run(airflow, RELEASE)
    assert state == "success", states(airflow, RELEASE, run_id)
    return run_id


def test_images_become_a_served_scaled_and_tested_model(
    airflow: AirflowApi, aws: Client, first_run: str
) -> None:
    found = states(airflow, RELEASE, first_run)
    not_needed = {task: found.pop(task) for task in ("prepare_ec2", "train_on_ec2", "rollback", "approve")}
    assert set(not_needed.values()) == {"skipped"}
    assert set(found.values()) == {"success"}
    smoke_test = airflow.xcom(RELEASE, first_run, "smoke_test")
    assert len({request["truth"] for request in smoke_test["requests"]}) == 5
    assert airflow.xcom(RELEASE, first_run, "report")["test_accuracy"] >= 0.9
    target = aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    assert [(item["MinCapacity"], item["MaxCapacity"]) for item in target] == [(1, 2)]
    concurrency = aws("lambda").get_provisioned_concurrency_config(FunctionName="sample", Qualifier="live")
    assert concurrency["Status"] == "READY"


def test_the_function_answers_with_labels_and_probabilities(aws: Client) -> None:
    answer = ask(aws)
    assert answer["predictions"][0]["label"] == "004.star"
    assert sum(prediction["probability"] for prediction in answer["predictions"]) == pytest.approx(
        1, abs=1e-3
    )
    assert answer["model"].startswith("sample-model-")


@pytest.mark.usefixtures("first_run")
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


def test_the_report_opens_in_a_browser(whole_stack: Stack, airflow: AirflowApi, first_run: str) -> None:
    address = airflow.xcom(RELEASE, first_run, "report")["report"]
    answer = requests.get(browser_address(address, whole_stack.places.aws_url), timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Test accuracy" in answer.text


@pytest.mark.usefixtures("first_run")
def test_a_second_run_repeats_no_job_and_finds_nothing_in_its_way(airflow: AirflowApi, aws: Client) -> None:
    before, model = jobs(aws), ask(aws)["model"]
    run_id, state = run(airflow, RELEASE)
    assert state == "success", states(airflow, RELEASE, run_id)
    assert jobs(aws) == before
    assert ask(aws)["model"] == model


@pytest.mark.usefixtures("first_run")
def test_word_of_new_images_starts_a_run_which_ends_early_if_they_are_the_same(
    airflow: AirflowApi, aws: Client
) -> None:
    before, model = jobs(aws), ask(aws)["model"]
    run_id = announce_images(airflow)
    assert airflow.wait(RELEASE, run_id, RUN_SECONDS) == "success"
    found = states(airflow, RELEASE, run_id)
    assert (found["stage_data"], found["check_for_changes"], found["train"]) == (
        "success",
        "skipped",
        "skipped",
    )
    assert "nothing sent" in log_of(airflow, RELEASE, run_id, "stage_data")
    assert "made from the same images" in log_of(airflow, RELEASE, run_id, "check_for_changes")
    assert jobs(aws) == before
    assert ask(aws)["model"] == model


def instances(aws: Client) -> dict[str, str]:
    """The state of each EC2 instance that ever trained, by its id."""
    found = aws("ec2").describe_instances(Filters=[{"Name": "tag:project", "Values": ["sample"]}])
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for reservation in found["Reservations"]
        for instance in reservation["Instances"]
    }


def test_an_ec2_instance_trains_the_same_model_and_goes(
    airflow: AirflowApi, aws: Client, first_run: str
) -> None:
    before, model = jobs(aws), ask(aws)["model"]
    run_id, state = run(airflow, RELEASE, train_on="ec2")
    found = states(airflow, RELEASE, run_id)
    assert state == "success", found
    assert (found["train"], found["train_on_ec2"], found["smoke_test"]) == ("skipped", "success", "success")
    assert jobs(aws) == before
    trained, there = (
        airflow.xcom(RELEASE, run, task) for run, task in ((run_id, "train_on_ec2"), (first_run, "train"))
    )
    assert trained["metrics"] == there["metrics"]
    assert trained.keys() - {"instance_id"} == there.keys() - {"arn"}
    assert "best:validation_accuracy" in log_of(airflow, RELEASE, run_id, "train_on_ec2")
    assert instances(aws) == {trained["instance_id"]: "terminated"}
    answer = ask(aws)
    assert answer["predictions"][0]["label"] == "004.star"
    assert answer["model"] != model
    (billed,) = [
        step
        for step in airflow.xcom(RELEASE, run_id, "report")["cost"]["actual"]["steps"]
        if step["step"] == "train"
    ]
    assert billed["seconds"] == trained["billable_seconds"]
    assert not billed["reused"]


def test_several_ec2_instances_are_refused_before_anything_is_done(airflow: AirflowApi) -> None:
    run_id, state = run(airflow, RELEASE, train_on="ec2", instance_count=2)
    assert state == "failed"
    (preflight,) = [task for task in airflow.task_instances(RELEASE, run_id) if task.task_id == "preflight"]
    assert (preflight.state, preflight.try_number) == ("failed", 1)
    assert "EC2 trains on one instance, not on 2" in log_of(airflow, RELEASE, run_id, "preflight")


@pytest.mark.parametrize(
    ("leave_out", "replace", "message"),
    [
        pytest.param("test/", None, "The data set has no test split.", id="no test split"),
        pytest.param("valid/004.star", None, "valid split has no image of 004.star", id="empty class"),
        pytest.param(None, "train/004.star/", "60 of 450 images can't be used", id="texts named as images"),
    ],
)
def test_a_bad_data_set_is_refused_at_once_and_what_is_live_stays(
    airflow: AirflowApi, aws: Client, tmp_path: Path, leave_out: str | None, replace: str | None, message: str
) -> None:
    members = DrawnMembers()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for path, picture in members.read(members.files()):
            if not (leave_out and path.startswith(leave_out)):
                archive.writestr(path, b"text" if replace and path.startswith(replace) else picture)
    run_id, state = run(airflow, RELEASE, dataset=str(tmp_path / "bad.zip"))
    assert state == "failed"
    tasks = {task.task_id: task for task in airflow.task_instances(RELEASE, run_id)}
    assert (tasks["stage_data"].state, tasks["stage_data"].try_number) == ("failed", 1)
    assert message in log_of(airflow, RELEASE, run_id, "stage_data")
    assert tasks["rollback"].state == "skipped"
    assert ask(aws)["predictions"][0]["label"] == "004.star"


def test_a_person_decides_where_that_is_wanted(airflow: AirflowApi, whole_stack: Stack, aws: Client) -> None:
    """Whoever may only look is refused; a rejected model goes no further, and once it is approved it goes live."""
    before, known = ask(aws)["model"], jobs(aws)["training"]
    viewer = AirflowApi(
        airflow.url, VIEWER, json.loads(whole_stack.places.passwords_file.read_text())[VIEWER]
    )
    for choice in ("Reject", "Approve"):
        run_id = start(airflow, RELEASE, instance_count=2, require_approval=True)
        answer = await_question(airflow, RELEASE, run_id, "approve")
        chosen = {"chosen_options": [choice], "params_input": {}}
        with pytest.raises(AirflowApiError, match="403"):
            viewer._ask("PATCH", answer, json=chosen)
        airflow._ask("PATCH", answer, json=chosen)
        assert airflow.wait(RELEASE, run_id, RUN_SECONDS) == "success"
        found = states(airflow, RELEASE, run_id)
        package = aws("sagemaker").list_model_packages(
            ModelPackageGroupName="sample", SortOrder="Descending"
        )["ModelPackageSummaryList"][0]
        described = aws("sagemaker").describe_model_package(ModelPackageName=package["ModelPackageArn"])
        assert "admin" in described["ApprovalDescription"]
        if choice == "Reject":
            assert (found["record_approval"], found["deploy_endpoint"]) == ("skipped", "skipped")
            assert package["ModelApprovalStatus"] == "Rejected"
            assert ask(aws)["model"] == before
        else:
            assert (found["record_approval"], found["smoke_test"]) == ("success", "success")
            assert package["ModelApprovalStatus"] == "Approved"
            assert ask(aws)["model"] != before
    (name,) = set(jobs(aws)["training"]) - set(known)
    assert_two_have_trained_together(aws, name)


def assert_two_have_trained_together(aws: Client, name: str) -> None:
    job = aws("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["ResourceConfig"]["InstanceCount"]) == ("Completed", 2)
    streams = aws("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    assert [stream["logStreamName"].split("/")[1].rpartition("-")[0] for stream in streams] == [
        "algo-1",
        "algo-2",
    ]
    assert {metric["MetricName"] for metric in job["FinalMetricDataList"]} >= {"best:validation_accuracy"}


def act_on_workspace(airflow: AirflowApi, aws: Client, action: str) -> str | None:
    """Run the workspace's DAG, and return the status of the notebook instance; None where there is none."""
    run_id, state = run(airflow, WORKSPACE, action=action)
    assert state == "success", states(airflow, WORKSPACE, run_id)
    instances = aws("sagemaker").list_notebook_instances()["NotebookInstances"]
    return instances[0]["NotebookInstanceStatus"] if instances else None


def execute_notebook(stack: Stack, checks: str) -> list[Any]:
    """Execute the notebook as it lies on the notebook instance, then the checks; returns what all cells gave."""
    (path,) = stack.places.aws_dir.glob("*/notebooks/sample-workspace/home/ec2-user/SageMaker/sample/*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(checks))
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env={**os.environ, **aws_settings(stack.places)})
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.usefixtures("first_run")
def test_a_workspace_has_a_notebook_that_works_and_lives_as_the_form_says(
    airflow: AirflowApi, aws: Client, whole_stack: Stack
) -> None:
    assert act_on_workspace(airflow, aws, "create") == "InService"
    known = set(jobs(aws)["training"])
    outputs = execute_notebook(
        whole_stack,
        "assert list(counts.sum()) == [300, 75, 75], counts\n"
        "assert len(trials) == 2\n"
        "assert metrics['validation:accuracy'] > 0.5, metrics\n"
        "assert list(predictions['answer']) == list(predictions['class']), predictions\n",
    )
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    (name,) = set(jobs(aws)["training"]) - known
    job = aws("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["HyperParameters"]["epochs"]) == ("Completed", "3")
    assert job["TrainingJobArn"] in tagged(aws)
    assert act_on_workspace(airflow, aws, "stop") == "Stopped"
    assert act_on_workspace(airflow, aws, "start") == "InService"
    assert act_on_workspace(airflow, aws, "delete") is None


def test_a_person_chooses_among_the_versions_that_are_known_to_be_good(
    airflow: AirflowApi, aws: Client
) -> None:
    before = ask(aws)["model"]
    run_id = start(airflow, ROLLBACK)
    question = await_question(airflow, ROLLBACK, run_id, "ask_for_version")
    version = airflow._ask("GET", question)["options"][0]
    assert re.fullmatch(r"\d+: accuracy \S+, released \S+", version)
    airflow._ask("PATCH", question, json={"chosen_options": [version], "params_input": {}})
    assert airflow.wait(ROLLBACK, run_id, RUN_SECONDS) == "success", states(airflow, ROLLBACK, run_id)
    answer = ask(aws)
    assert answer["predictions"][0]["label"] == "004.star"
    assert answer["model"] != before


def test_a_teardown_leaves_nothing_tagged_and_can_be_repeated(airflow: AirflowApi, aws: Client) -> None:
    assert act_on_workspace(airflow, aws, "create") == "InService"
    assert tagged(aws)
    for _ in range(2):
        run_id, state = run(airflow, TEARDOWN, **REMOVE)
        assert state == "success", states(airflow, TEARDOWN, run_id)
        assert tagged(aws) == []
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    assert aws("sagemaker").list_notebook_instances()["NotebookInstances"] == []


def test_after_a_teardown_the_next_run_only_deploys(airflow: AirflowApi, aws: Client) -> None:
    before = jobs(aws)
    run_id, state = run(airflow, RELEASE)
    assert state == "success", states(airflow, RELEASE, run_id)
    assert jobs(aws) == before
    assert ask(aws)["predictions"][0]["label"] == "004.star"
