"""What is done about a stack after a test on it has failed: describe its runs, then end them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil

from include.laptop.airflow_api import AirflowApi, AirflowApiError
from include.laptop.dag_runs import DagRun, TaskInstance, states_of
from include.laptop.infrastructure import client
from include.laptop.stack import Stack
from include.laptop.supervision import LAST_LINES, last_lines

NOTE = "Ended because a test failed."
FAILED_RUNS = 3
END_SECONDS = 120.0
# How jobs are listed, identified and stopped.
JOBS = (
    ("training_jobs", "TrainingJobSummaries", "TrainingJob"),
    ("hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", "HyperParameterTuningJob"),
    ("processing_jobs", "ProcessingJobSummaries", "ProcessingJob"),
)


def describe(stack: Stack) -> str:
    """Return the runs of a stack that are unfinished or failed, the logs of their tasks, and where all logs are."""
    paths = stack.paths
    try:
        found = _describe_runs(stack.api())
    except Exception as error:  # the failure of the test must stay visible
        log = stack.supervision.program_log("api-server")
        found = [f"The runs are unknown: {error}", f"{log} ends with:", last_lines(log)]
    where = (
        f"The logs of the components are in {paths.logs}, those of tasks in {paths.airflow_home / 'logs'}."
    )
    return "\n".join([*found, where])


def _describe_runs(api: AirflowApi) -> list[str]:
    failed = [run for run in api.runs("~", ["failed"], limit=20) if run.note != NOTE]
    lines = []
    for run in [*api.unfinished_runs(), *failed[:FAILED_RUNS]]:
        tasks = api.task_instances(run.dag_id, run.run_id)
        lines.append(f"{run.run_id} of {run.dag_id} is {run.state}. Its tasks: {states_of(tasks)}.")
        for task in tasks:
            if task.try_number and task.state not in (None, "success", "skipped"):
                lines += [f"The log of {task.name} ends with:", *_last_lines(api, run, task)]
    return lines or ["No run is unfinished or failed."]


def _last_lines(api: AirflowApi, run: DagRun, task: TaskInstance) -> list[str]:
    try:
        lines = api.log(run.dag_id, run.run_id, task)
    except AirflowApiError as error:
        lines = [str(error)]
    return [f"    {line}" for line in lines if not line.startswith("::")][-LAST_LINES:]


def end_runs(stack: Stack, seconds: float = END_SECONDS) -> None:
    """Mark all runs of a stack failed, and wait until their tasks, jobs and instances have ended.

    :raises TimeoutError: if some have not ended after `seconds`.
    """
    api = stack.api()
    deadline = time.monotonic() + seconds
    while left := [*_end(api), *stop_jobs(lambda name: client(name, stack.paths.aws_url)), *_at_work(stack)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Still there {seconds:.0f} s after a test failed: {', '.join(left)}.")
        time.sleep(0.5)


def _end(api: AirflowApi) -> list[str]:
    """Mark the unfinished runs failed; return their names."""
    runs = api.unfinished_runs()
    for run in runs:
        try:
            api.fail_run(run, NOTE)
        except AirflowApiError as error:  # it has ended meanwhile, or the database was locked
            print(error)
    return [f"{run.run_id} of {run.dag_id}" for run in runs]


def stop_jobs(client_of: Callable[[str], Any]) -> list[str]:
    """Stop SageMaker's jobs and terminate EC2 instances; return the names of those that have not ended."""
    sagemaker, ec2 = client_of("sagemaker"), client_of("ec2")
    left = []
    for jobs, summaries, job in JOBS:
        for found in getattr(sagemaker, f"list_{jobs}")(MaxResults=100)[summaries]:
            if found[f"{job}Status"] in ("InProgress", "Stopping"):
                left.append(found[f"{job}Name"])
            if found[f"{job}Status"] == "InProgress":
                getattr(sagemaker, f"stop_{jobs[:-1]}")(**{f"{job}Name": found[f"{job}Name"]})
    instances = [
        instance["InstanceId"]
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    if instances:
        ec2.terminate_instances(InstanceIds=instances)
    return [*left, *instances]


def _at_work(stack: Stack) -> list[str]:
    """Return the titles of the workers that run a task: such a task ends after its run does."""
    titles = []
    for process in stack.supervision.processes():
        try:
            titles.append(" ".join(process.cmdline()).strip())
        except psutil.Error:  # it may end at any moment
            continue
    return [title for title in titles if title.startswith("airflow worker --") and "<idle>" not in title]
