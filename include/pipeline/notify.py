"""What people are told of runs that fail or take too long."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.pipeline import live, rollback
from include.pipeline.names import endpoint_name
from include.pipeline.settings import Project


def failure_subject(project: Project) -> str:
    return f"{project.name}: a run failed"


def failure_message(
    project: Project, dag_id: str, run_id: str, failures: dict[str, str], sagemaker: Any, lambda_client: Any
) -> str:
    """Project, run, the failed tasks with their causes, and what serves now.

    :param failures: the cause of each failed task.
    """
    tasks = [f"Task {task} failed: {cause}" for task, cause in failures.items()]
    lines = [
        f"Project: {project.name}",
        f"Run: {run_id} of {dag_id}",
        *(tasks or ["No task is named as failed; look at the run in Airflow."]),
        endpoint_state(project, sagemaker, lambda_client),
    ]
    return "\n".join(lines)


def deadline_subject(project: Project) -> str:
    return f"{project.name}: a run takes too long"


def deadline_message(project: Project) -> str:
    """A template; Airflow fills in the run when it is late."""
    return (
        f"Project: {project.name}\n"
        "Run: {{ dag_run.dag_run_id }} of {{ dag_run.dag_id }}\n"
        f"It has not ended {project.deadline_minutes:g} minutes after it was queued. It goes on; look at it in Airflow."
    )


def endpoint_state(project: Project, sagemaker: Any, lambda_client: Any) -> str:
    """What the endpoint is in and serves, and whether that has passed a smoke test; also where AWS does not answer."""
    name = endpoint_name(project)
    try:
        endpoint = live.describe_endpoint(project, sagemaker)
        if endpoint is None:
            return f"There is no endpoint {name}: no model serves."
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        is_unproved = rollback.unproved(project, sagemaker, lambda_client) is not None
    except (ClientError, BotoCoreError) as error:
        return f"What state endpoint {name} is in could not be read: {error}"
    status, model = endpoint["EndpointStatus"], config["ProductionVariants"][0]["ModelName"]
    state = f"Endpoint {name} is {status} with model {model}."
    next_run = f"the next run of {project.name}.train_and_deploy takes"
    if is_unproved:
        return f"{state} Its release has not passed the smoke test; {next_run} it back."
    if status != "InService":  # what it serves in the end is not known yet
        return f"{state} If its release has not passed the smoke test, {next_run} it back."
    return state
