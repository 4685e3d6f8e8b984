"""The steps of ``<project>.workspace``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Context, chain, get_current_context, task
from airflow.sdk.timezone import utcnow
from amazon_ml.operators.sagemaker_notebook import (
    SageMakerDeleteLifecycleConfigIfExistsOperator,
    SageMakerDeleteNotebookIfExistsOperator,
    SageMakerDeployLifecycleConfigOperator,
    SageMakerDeployNotebookOperator,
    SageMakerStartNotebookIfStoppedOperator,
    SageMakerStopNotebookIfRunningOperator,
)
from dag_defaults import aws_client, check_conf
from project_pages.links import WorkspaceLink
from run_results import RunResults, as_json
from verdicts import record

from include.pipeline import infrastructure, names, support, workspace
from include.pipeline.results import PreparedWorkspace
from include.pipeline.settings import Project

FIRST_TASKS = {
    "create": "prepare",
    "start": "start_instance",
    "stop": "stop_instance",
    "delete": "delete_instance",
}
"""The first task of each action."""


def manage_instance(project: Project) -> None:
    """Create, start, stop or delete the notebook instance, according to the form."""

    @task.branch
    def choose() -> str:
        """Choose the first task according to the action in the form."""
        check_conf(get_current_context())
        return FIRST_TASKS[get_current_context()["params"]["action"]]

    @task
    @as_json
    def prepare() -> PreparedWorkspace:
        """Upload scripts, settings and notebook to S3, look up the role, and check that AWS patches the platform."""
        used = [support.notebook_used(workspace.PLATFORM)]
        if warnings := support.check(used, utcnow().date(), project.allow_unpatched):
            record(get_current_context(), *warnings)
        s3 = aws_client("s3")
        found, region = (
            infrastructure.read_infrastructure(aws_client("cloudformation")),
            s3.meta.region_name,
        )
        return PreparedWorkspace(
            role=workspace.role(found), archive=workspace.upload(project, found, region, s3), region=region
        )

    def prepared(context: Context) -> PreparedWorkspace:
        return RunResults(context).get("prepare", PreparedWorkspace)

    name = names.workspace_name(project)
    instance = {"NotebookInstanceName": name}
    waiting: dict[str, Any] = {
        "poll_interval": project.poll_seconds,
        "max_wait": timedelta(hours=1),
        "deferrable": True,
    }
    put_lifecycle_config = SageMakerDeployLifecycleConfigOperator(
        task_id="put_lifecycle_config",
        config=lambda context, jinja_env: workspace.lifecycle_config(
            project, prepared(context).archive, prepared(context).region
        ),
    )
    create_instance = SageMakerDeployNotebookOperator(
        task_id="create_instance",
        config=lambda context, jinja_env: workspace.notebook_instance(project, prepared(context).role),
        **waiting,
    )
    start_instance = SageMakerStartNotebookIfStoppedOperator(
        task_id="start_instance", config=instance, **waiting
    )
    stop_instance = SageMakerStopNotebookIfRunningOperator(
        task_id="stop_instance", config=instance, **waiting
    )
    delete_instance = SageMakerDeleteNotebookIfExistsOperator(
        task_id="delete_instance", config=instance, **waiting
    )
    delete_lifecycle_config = SageMakerDeleteLifecycleConfigIfExistsOperator(
        task_id="delete_lifecycle_config", config={"NotebookInstanceLifecycleConfigName": name}
    )
    for task_that_starts in (create_instance, start_instance):
        WorkspaceLink.add_to(task_that_starts)

    ready = prepare()
    choose() >> [ready, start_instance, stop_instance, delete_instance]
    chain(ready, put_lifecycle_config, create_instance)
    delete_instance >> delete_lifecycle_config
