"""Texts of the notifications about runs that fail or take too long."""

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
    """Return project, run, the failed tasks with their causes, and the state of the endpoint.

    :param failures: the cause of each failed task.
    """
    tasks = [f"Task {task} failed: {cause}" for task, cause in failures.items()]
    lines = [
        f"Project: {project.name}",
        f"Run: {run_id} of {dag_id}",
        *(tasks or ["No failed task was found. See the run in Airflow."]),
        endpoint_state(project, sagemaker, lambda_client),
    ]
    return "\n".join(lines)


def deadline_subject(project: Project) -> str:
    return f"{project.name}: a run takes too long"


def deadline_message(project: Project) -> str:
    """Return a template, in which Airflow fills in the run."""
    return (
        f"Project: {project.name}\n"
        "Run: {{ dag_run.dag_run_id }} of {{ dag_run.dag_id }}\n"
        f"It has not finished {project.deadline_minutes:g} minutes after it was queued. The run continues: see Airflow."
    )


def endpoint_state(project: Project, sagemaker: Any, lambda_client: Any) -> str:
    """Return the state and model of the endpoint, and whether its release has passed a smoke test, as text.

    If AWS does not answer, the text says so.
    """
    name = endpoint_name(project)
    try:
        endpoint = live.describe_endpoint(project, sagemaker)
        if endpoint is None:
            return f"Endpoint {name} does not exist. No model is live."
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        is_unproved = rollback.unproved(project, sagemaker, lambda_client) is not None
    except (ClientError, BotoCoreError) as error:
        return f"The state of endpoint {name} could not be read: {error}"
    status, model = endpoint["EndpointStatus"], config["ProductionVariants"][0]["ModelName"]
    state = f"Endpoint {name} is {status} with model {model}."
    next_run = f"the next run of {project.name}.train_and_deploy rolls"
    if is_unproved:
        return f"{state} Its release has not passed the smoke test; {next_run} it back."
    if status != "InService":  # the model that it will serve is not known yet
        return f"{state} If its release has not passed the smoke test, {next_run} it back."
    return state
