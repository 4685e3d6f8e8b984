"""Suspend the endpoint's scaling during an update; used by releases and rollbacks."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task
from dag_defaults import aws_client
from run_results import as_json

from include.pipeline import scaling
from include.pipeline.results import Scaling
from include.pipeline.settings import Project
from pipeline_steps.results import DeploymentResults


def suspend_scaling(project: Project) -> Any:
    """Return the task that suspends scaling. It needs the results of ``create_endpoint_config`` and ``read_live``."""

    @task(task_id="suspend_scaling")
    @as_json
    def suspend() -> Scaling | None:
        """Keep the number of instances during the update, since scaling would interfere with it."""
        results = DeploymentResults()
        found = scaling.suspend(
            project,
            results.create_endpoint_config,
            aws_client("sagemaker"),
            aws_client("application-autoscaling"),
        )
        # An earlier try of this task may have deregistered it.
        return found or results.read_live.scaling

    return suspend()


def resume_scaling(project: Project) -> Any:
    """Return the task that restores the scaling that ``suspend_scaling`` has found."""

    @task(task_id="resume_scaling")
    def resume() -> None:
        """Resume scaling, including policies that a user has added to the project's own policy."""
        scaling.resume(project, DeploymentResults().suspend_scaling, aws_client("application-autoscaling"))

    return resume()
