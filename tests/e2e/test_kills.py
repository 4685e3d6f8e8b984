"""Test kills of the stack's processes while tasks wait for a training job or for a training on EC2.

A kill of a worker, a triggerer or the API server starts no second job and no second instance. A task that is marked
failed stops its job or terminates its instance. Each job runs until its test creates a file, the gate, so that every
kill is in the middle of the job. A kill of local AWS loses what it holds; `make up` then ends the runs.

These tests prove what Airflow does after a kill. tests/plugins/amazon_ml/operators proves for each operator what it
adopts when it is executed again, and what it stops.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote as quoted

import psutil
import pytest

from include.laptop.airflow_api import AirflowApi, AirflowApiError
from include.laptop.stack import Stack
from tests.archives import archive
from tests.environments import WITHOUT_TORCH

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

ROLE = "arn:aws:iam::123456789012:role/any"
BUCKET = "kills"
END_SECONDS = 600
"""The time after which a test gives up waiting."""
KINDS = ("training", "ec2")
WAIT = """
import pathlib, time

def wait_for_the_gate():
    until = time.monotonic() + 900
    while not pathlib.Path({gate!r}).exists() and time.monotonic() < until:
        time.sleep(0.1)
"""
TRAIN = """
import os

wait_for_the_gate()
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text("trained")
"""
# What an EC2 instance does: its arguments are the training's name and the bucket.
TRAIN_ON_EC2 = """
import boto3, json, os, sys

wait_for_the_gate()
name, bucket = sys.argv[1:]
s3 = boto3.client("s3")
s3.put_object(Bucket=bucket, Key=f"{name}/output/model.tar.gz", Body=b"trained")
model = {"S3ModelArtifacts": f"s3://{bucket}/{name}/output/model.tar.gz"}
record = {"TrainingJobStatus": "Completed", "ModelArtifacts": model, "InstanceId": os.environ["INSTANCE_ID"]}
s3.put_object(Bucket=bucket, Key=f"{name}/record.json", Body=json.dumps(record).encode())
"""


@dataclass(frozen=True)
class Run:
    """A DAG run whose task waits for the resource `name`."""

    dag_id: str
    run_id: str
    name: str
    gate: Path


@dataclass(frozen=True)
class Kills:
    """Starts runs on a stack and reads their state."""

    stack: Stack
    airflow: AirflowApi
    client: Callable[[str], Any]
    eventually: Callable[..., Any]
    folder: Path

    def start(self, kind: str, waiting_in: str) -> Run:
        """Start a run whose task waits until its gate is open."""
        self.client("s3").create_bucket(Bucket=BUCKET)  # again after local AWS was killed
        name = f"{kind}-{uuid.uuid4().hex[:8]}"
        gate = self.folder / name
        config = getattr(self, f"_{kind}_config")(name, WAIT.format(gate=str(gate)))
        dag_id = f"{kind}_in_{waiting_in}"
        self.eventually(lambda: self.airflow.is_parsed(dag_id))
        run_id = self._written(lambda: self.airflow.trigger(dag_id, {"config": config}))
        return Run(dag_id, run_id, name, gate)

    def task(self, run: Run) -> dict[str, Any]:
        """Return the task instance of the run."""
        return self.airflow.ask("GET", self._path(run))

    def fail(self, run: Run) -> None:
        """Mark the run's task failed, as a user does."""
        self._written(lambda: self.airflow.ask("PATCH", self._path(run), json={"new_state": "failed"}))

    def wait_until_under_way(self, run: Run) -> None:
        """Wait until the job or the command has started and the task waits for it."""
        deferred = run.dag_id.endswith("triggerer")

        def is_under_way() -> bool:
            # In this order: between two waits, a task that defers is in a worker again.
            return (
                self.status(run) == "InProgress"
                and self.task(run)["state"] == ("deferred" if deferred else "running")
                and (not deferred or self.triggerer_of(run) is not None)
            )

        try:
            self.eventually(is_under_way)
        except AssertionError as error:
            raise AssertionError(f"{run}: {self.status(run)}, {self.task(run)}, {self.log(run)}") from error

    def triggerer_of(self, run: Run) -> int | None:
        """Return the id of the triggerer that runs the trigger of the task, or None."""
        job = self.task(run)["triggerer_job"]
        return job["id"] if job else None

    def log(self, run: Run) -> str:
        """Return the log of all tries of the task."""
        (task,) = self.airflow.task_instances(run.dag_id, run.run_id)
        lines = []
        for number in range(1, task.try_number + 1):
            try:
                lines += self.airflow.log(run.dag_id, run.run_id, replace(task, try_number=number))
            except AirflowApiError as error:
                lines.append(str(error))
        return "\n".join(lines)

    def status(self, run: Run) -> str | None:
        """Return the status of what the task waits for, or None if it does not exist yet."""
        if run.dag_id.startswith("ec2"):
            commands = self.client("ssm").list_commands()["Commands"]
            return next((each["Status"] for each in commands if each["Comment"] == run.name), None)
        sagemaker = self.client("sagemaker")
        with suppress(sagemaker.exceptions.ClientError):
            return sagemaker.describe_training_job(TrainingJobName=run.name)["TrainingJobStatus"]
        return None

    def instances(self, run: Run) -> list[str]:
        """Return the states of all EC2 instances that the run has launched."""
        found = self.client("ec2").describe_instances(Filters=[{"Name": "tag:Name", "Values": [run.name]}])
        return [
            instance["State"]["Name"]
            for reservation in found["Reservations"]
            for instance in reservation["Instances"]
        ]

    def made(self, run: Run) -> list[str]:
        """Return the names of all jobs and EC2 instances that the run has started."""
        found = self.client("sagemaker").list_training_jobs(NameContains=run.name)["TrainingJobSummaries"]
        return [*(job["TrainingJobName"] for job in found), *(run.name for _ in self.instances(run))]

    def end(self, run: Run) -> str:
        """Open the gate and return the state in which the run ends."""
        run.gate.touch()
        return self.airflow.wait(run.dag_id, run.run_id, END_SECONDS)

    def put(self, key: str, path: str, script: str) -> str:
        """Put an archive of one script to S3 and return its address."""
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=archive({path: script}))
        return f"s3://{BUCKET}/{key}"

    def _written(self, request: Callable[[], Any]) -> Any:
        """
        Send a request that writes until it has.

        On SQLite, Airflow's API may write a request's audit log while a task's heartbeat has the database locked,
        and meanwhile keeps that from ending: after 5 s it answers 500 and has written nothing.
        """

        def answer() -> Any:
            try:
                return request()
            except AirflowApiError as error:
                if "Database error" not in str(error):
                    raise
                return None

        return self.eventually(answer)

    def _path(self, run: Run) -> str:
        return f"dags/{run.dag_id}/dagRuns/{quoted(run.run_id, safe='')}/taskInstances/wait"

    def _training_config(self, name: str, wait: str) -> dict[str, Any]:
        source = self.put(f"{name}/sourcedir.tar.gz", "train.py", wait + TRAIN)
        return {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": "pytorch", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/{name}"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 1800},
            "HyperParameters": {
                "sagemaker_program": json.dumps("train.py"),
                "sagemaker_submit_directory": json.dumps(source),
            },
            "Environment": WITHOUT_TORCH,
        }

    def _ec2_config(self, name: str, wait: str) -> dict[str, Any]:
        """Return the request for a training on an instance with its own instance profile."""
        iam = self.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        images = self.client("ec2").describe_images(Owners=["amazon"])["Images"]
        return {
            "Name": name,
            "Instance": {
                "ImageId": images[0]["ImageId"],
                "InstanceType": "g4dn.xlarge",
                "MinCount": 1,
                "MaxCount": 1,
                "IamInstanceProfile": {"Name": name},
                "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
            },
            "Commands": [f"python3 -c {quote(wait + TRAIN_ON_EC2)} {name} {BUCKET}"],
            "ExecutionTimeout": 1800,
            "LogGroup": "/kills",
            "Record": f"s3://{BUCKET}/{name}/record.json",
        }


@pytest.fixture(scope="module")
def kills(
    tmp_path_factory: pytest.TempPathFactory,
    impatient_stack: Stack,
    client_of: Callable[[Stack, str], Any],
    eventually: Callable[..., Any],
) -> Kills:
    return Kills(
        impatient_stack,
        impatient_stack.api(),
        lambda service: client_of(impatient_stack, service),
        lambda probe: eventually(probe, END_SECONDS),
        tmp_path_factory.mktemp("gates"),
    )


def kill(stack: Stack, processes: list[psutil.Process]) -> None:
    """Kill processes of a stack, and no others."""
    own = {process.pid for process in stack.supervision.processes()}
    # One that has ended since is not among the stack's any more.
    living = [process for process in processes if process.pid in own]
    assert living
    for process in living:
        with suppress(psutil.NoSuchProcess):  # its parent, killed before, may have ended it
            process.kill()


def kill_component(stack: Stack, name: str) -> None:
    """Kill a component of a stack with all its child processes. The stack starts it again."""
    log = stack.supervision.log.read_text(encoding="utf-8")
    component = psutil.Process(int(re.findall(rf"spawned: '{name}' with pid (\d+)", log)[-1]))
    kill(stack, [component, *component.children(recursive=True)])


@pytest.fixture(scope="module")
def after_killed_workers(kills: Kills) -> dict[str, tuple[Run, str]]:
    """Return for each kind a run whose worker was killed, and the state in which the run has ended."""
    runs = {kind: kills.start(kind, "worker") for kind in KINDS}
    for run in runs.values():
        kills.wait_until_under_way(run)
        task = psutil.Process(kills.task(run)["pid"])
        supervisor = task.parent()
        assert supervisor is not None
        kill(kills.stack, [supervisor, task])
    for run in runs.values():
        kills.eventually(lambda run=run: kills.task(run)["try_number"] == 2)
        kills.eventually(lambda run=run: "already running" in kills.log(run))
    return {kind: (run, kills.end(run)) for kind, run in runs.items()}


@pytest.fixture(scope="module")
def after_a_killed_triggerer(kills: Kills) -> dict[str, tuple[Run, str, int, int]]:
    """Return for each kind a run whose triggerer was killed, and the state in which the run has ended.

    The last two values count the tries of the task, and the jobs or instances, before the kill.
    """
    runs = {kind: kills.start(kind, "triggerer") for kind in KINDS}
    for run in runs.values():
        kills.wait_until_under_way(run)
    killed = {run.run_id: kills.triggerer_of(run) for run in runs.values()}
    # Once, unless the machine is so busy that Airflow took the task for a lost one before that, see docs/operating.md.
    tries = {kind: kills.task(run)["try_number"] for kind, run in runs.items()}
    begun = {kind: kills.made(run).count(run.name) for kind, run in runs.items()}
    kill_component(kills.stack, "triggerer")
    for run in runs.values():
        kills.eventually(lambda run=run: kills.triggerer_of(run) not in (None, killed[run.run_id]))
    return {kind: (run, kills.end(run), tries[kind], begun[kind]) for kind, run in runs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_after_its_worker_was_killed_a_task_adopts_what_it_had_begun(
    kills: Kills, after_killed_workers: dict[str, tuple[Run, str]], kind: str
) -> None:
    run, state = after_killed_workers[kind]
    assert state == "success", kills.log(run)
    assert kills.task(run)["try_number"] == 2
    check_made(kills, run, kind, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_after_its_triggerer_was_killed_a_task_waits_in_the_next(
    kills: Kills, after_a_killed_triggerer: dict[str, tuple[Run, str, int, int]], kind: str
) -> None:
    run, state, tries, begun = after_a_killed_triggerer[kind]
    assert state == "success", kills.log(run)
    assert kills.task(run)["try_number"] == tries, kills.log(run)
    check_made(kills, run, kind, begun)


def check_made(kills: Kills, run: Run, kind: str, begun: int) -> None:
    """Check that there are no more jobs and instances than before the kill."""
    assert kills.made(run) == [run.name] * begun
    if kind == "ec2":
        kills.eventually(lambda: set(kills.instances(run)) == {"terminated"})


@pytest.fixture(scope="module")
def after_a_killed_api_server(kills: Kills) -> dict[str, tuple[Run, str, int]]:
    """Return for each kind a run that waits in the triggerer, and whose API server was killed.

    With each goes the state in which it has ended, and the number of its jobs or instances before the kill.
    """
    # Not in a worker: Airflow ends a task there whose heartbeats the API server has not taken a few times.
    runs = {kind: kills.start(kind, "triggerer") for kind in KINDS}
    for run in runs.values():
        kills.wait_until_under_way(run)
    begun = {kind: kills.made(run).count(run.name) for kind, run in runs.items()}
    kill_component(kills.stack, "api-server")
    kills.eventually(lambda: kills.stack.health()["metadatabase"] == "healthy")
    return {kind: (run, kills.end(run), begun[kind]) for kind, run in runs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_after_its_api_server_was_killed_a_task_waits_for_the_same_job(
    kills: Kills, after_a_killed_api_server: dict[str, tuple[Run, str, int]], kind: str
) -> None:
    run, state, begun = after_a_killed_api_server[kind]
    assert state == "success", kills.log(run)
    check_made(kills, run, kind, begun)


@pytest.fixture(scope="module")
def marked_failed(kills: Kills) -> dict[str, Run]:
    """Mark two tasks failed, one that waits in the worker and one in the triggerer, and return their runs."""
    runs = {"training": kills.start("training", "worker"), "ec2": kills.start("ec2", "triggerer")}
    for run in runs.values():
        kills.wait_until_under_way(run)
    assert kills.instances(runs["ec2"]).count("running") == 1
    for run in runs.values():
        kills.fail(run)
    return runs


def test_a_task_that_is_marked_failed_in_the_worker_stops_its_job(
    kills: Kills, marked_failed: dict[str, Run]
) -> None:
    run = marked_failed["training"]
    kills.eventually(lambda: kills.status(run) == "Stopped")
    assert kills.made(run) == [run.name]
    assert kills.task(run)["state"] == "failed"


def test_a_task_that_is_marked_failed_in_the_triggerer_lets_its_instance_go(
    kills: Kills, marked_failed: dict[str, Run]
) -> None:
    run = marked_failed["ec2"]
    kills.eventually(lambda: set(kills.instances(run)) == {"terminated"})
    assert kills.task(run)["state"] == "failed"


def test_after_its_scheduler_was_killed_a_rescheduled_task_continues(kills: Kills) -> None:
    gate = kills.folder / "rescheduled"
    kills.eventually(lambda: kills.airflow.is_parsed("file_in_scheduler"))
    run_id = kills.airflow.trigger("file_in_scheduler", {"gate": str(gate)})
    run = Run("file_in_scheduler", run_id, "rescheduled", gate)
    kills.eventually(lambda: kills.task(run)["state"] == "up_for_reschedule")
    kill_component(kills.stack, "scheduler")
    assert kills.end(run) == "success", kills.log(run)
    assert kills.task(run)["try_number"] == 1
    assert gate.with_suffix(".begun").read_text() == "begun\n"


def test_make_up_ends_the_runs_whose_local_aws_was_killed(
    kills: Kills, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [kills.start("training", "worker"), kills.start("training", "triggerer")]
    for run in runs:
        kills.wait_until_under_way(run)
    kill_component(kills.stack, "local-aws")
    assert kills.stack.up() is False
    assert "Local AWS was restarted" in capsys.readouterr().out
    for run in runs:
        # Not the state of the run: on SQLite, the scheduler may count the tasks that Airflow skips for a run that is
        # marked failed in the same moment, and write that it succeeded.
        kills.airflow.wait(run.dag_id, run.run_id, END_SECONDS)
        # If the trigger fires while the run is marked failed, the task resumes and finds no job. Its retry never
        # starts, because the run has ended.
        kills.eventually(lambda: kills.task(run)["state"] in ("failed", "skipped", "up_for_retry"))  # noqa: B023
    assert kills.client("cloudformation").describe_stacks()["Stacks"]
