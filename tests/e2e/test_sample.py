"""The project `sample` through Airflow on local AWS: from drawn pictures to predictions, and back to nothing.

The tests build on each other in the order in which they stand, as a user's runs do.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from include.laptop.airflow_api import AirflowApi, AirflowApiError, _run
from include.laptop.credentials import VIEWER
from include.laptop.demo import browser_address
from include.laptop.stack import Stack
from include.pipeline.drawings import DrawnMembers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RELEASE, TEARDOWN = "sample.train_and_deploy", "sample.teardown"
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
    return [resource["ResourceARN"] for resource in found["ResourceTagMappingList"]]


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
    assert (found.pop("rollback"), found.pop("approve")) == ("skipped", "skipped")
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


def test_the_report_opens_in_a_browser(stack: Stack, airflow: AirflowApi, first_run: str) -> None:
    address = airflow.xcom(RELEASE, first_run, "report")["report"]
    answer = requests.get(browser_address(address, stack.places.aws_url), timeout=30)
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


def test_two_instances_train_together(airflow: AirflowApi, aws: Client) -> None:
    known = jobs(aws)["training"]
    run_id, state = run(airflow, RELEASE, instance_count=2)
    assert state == "success", states(airflow, RELEASE, run_id)
    (name,) = set(jobs(aws)["training"]) - set(known)
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


def _rubbish(_: bytes) -> bytes:
    return b"rubbish"


def _with_classes_mixed_up(artifact: bytes) -> bytes:
    changed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(artifact)) as old, tarfile.open(fileobj=changed, mode="w:gz") as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            content = file.read() if file else b""
            if member.name.endswith("classes.json"):
                first, *others = json.loads(content)
                content = json.dumps([*others, first]).encode()
                member.size = len(content)
            new.addfile(member, io.BytesIO(content) if file else None)
    return changed.getvalue()


@pytest.mark.parametrize(
    ("spoil", "failing_step"),
    [
        pytest.param(_rubbish, "deploy_endpoint", id="that cannot start"),
        pytest.param(_with_classes_mixed_up, "smoke_test", id="that answers wrongly"),
    ],
)
def test_a_model_is_taken_back_and_costs_no_request(
    airflow: AirflowApi, aws: Client, spoil: Callable[[bytes], bytes], failing_step: str
) -> None:
    before = ask(aws)["model"]
    known = set(jobs(aws)["training"])
    answers: list[str] = []
    ended = threading.Event()

    def ask_without_pause() -> None:
        while not ended.is_set():
            answers.append(ask(aws).get("model", "none"))
            time.sleep(0.05)  # two cores are shared with the training

    asking = threading.Thread(target=ask_without_pause)
    run_id = start(airflow, RELEASE, retrain=True)
    asking.start()
    try:
        _spoil_the_candidate(aws, known, spoil)
        state = airflow.wait(RELEASE, run_id, RUN_SECONDS)
        since_told = len(answers)
        time.sleep(1)
    finally:
        ended.set()
        asking.join()
    found = states(airflow, RELEASE, run_id)
    assert (state, found[failing_step], found["rollback"]) == ("failed", "failed", "success"), found
    assert len(answers) > 50
    assert "none" not in answers, "a request was lost"
    if failing_step == "deploy_endpoint":
        assert set(answers) == {before}, "a model that cannot start has answered"
    assert set(answers[since_told:]) == {before}
    package = aws("sagemaker").list_model_packages(ModelPackageGroupName="sample", SortOrder="Descending")
    assert package["ModelPackageSummaryList"][0]["ModelApprovalStatus"] == "Rejected"


def _spoil_the_candidate(aws: Client, known: set[str], spoil: Callable[[bytes], bytes]) -> None:
    """Replace the new training job's model, once it has been evaluated and before it is deployed."""
    sagemaker, s3 = aws("sagemaker"), aws("s3")
    evaluations = len(sagemaker.list_processing_jobs(NameContains="evaluate")["ProcessingJobSummaries"])
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        found = sagemaker.list_processing_jobs(NameContains="evaluate")["ProcessingJobSummaries"]
        if len(found) > evaluations and all(job["ProcessingJobStatus"] == "Completed" for job in found):
            break
        time.sleep(0.05)
    name = next(name for name in jobs(aws)["training"] if name not in known and "-train-" in name)
    artifact = sagemaker.describe_training_job(TrainingJobName=name)["ModelArtifacts"]["S3ModelArtifacts"]
    bucket, _, key = artifact.removeprefix("s3://").partition("/")
    spoilt = spoil(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    s3.put_object(Bucket=bucket, Key=key, Body=spoilt)


def test_a_person_decides_where_that_is_wanted(airflow: AirflowApi, stack: Stack, aws: Client) -> None:
    """Whoever may only look is refused; a rejected model goes no further, an approved one goes live."""
    before = ask(aws)["model"]
    viewer = AirflowApi(airflow.url, VIEWER, json.loads(stack.places.passwords_file.read_text())[VIEWER])
    for choice in ("Reject", "Approve"):
        run_id = start(airflow, RELEASE, retrain=True, require_approval=True)
        answer = f"{_run(RELEASE, run_id)}/taskInstances/approve/-1/hitlDetails"
        deadline = time.monotonic() + RUN_SECONDS
        while states(airflow, RELEASE, run_id)["approve"] not in ("awaiting_input", "deferred"):
            assert time.monotonic() < deadline, states(airflow, RELEASE, run_id)
            time.sleep(0.5)
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


def test_a_teardown_leaves_nothing_tagged_and_can_be_repeated(airflow: AirflowApi, aws: Client) -> None:
    assert tagged(aws)
    for _ in range(2):
        run_id, state = run(airflow, TEARDOWN, **REMOVE)
        assert state == "success", states(airflow, TEARDOWN, run_id)
        assert tagged(aws) == []
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []


def test_after_a_teardown_the_next_run_only_deploys(airflow: AirflowApi, aws: Client) -> None:
    before = jobs(aws)
    run_id, state = run(airflow, RELEASE)
    assert state == "success", states(airflow, RELEASE, run_id)
    assert jobs(aws) == before
    assert ask(aws)["predictions"][0]["label"] == "004.star"
