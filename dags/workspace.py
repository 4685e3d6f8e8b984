"""``<project>.workspace``: a SageMaker notebook instance with the project's scripts and a notebook to explore it by.

The form says what to do with it. Each action can be repeated: what is there already is adopted, what is gone is gone.

- `create` makes it, or brings the one that is there up to date, and waits until it is in service. For a change of
  instance type, role or disk it is stopped and started again; its files stay.
- `stop` ends the bill for the instance; the disk with the files stays, and is billed. `start` goes on with it. By
  itself it stops once nothing was done in it for `workspace.idle_stop_minutes`.
- `delete` removes it, with all files on it.

The tasks `create_instance` and `start_instance` link to where it can be opened. Signing in is left to AWS: nothing that
lets anybody in is kept in Airflow. On a laptop the link opens it, for whoever may trigger this DAG.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Context,
    Param,
    chain,
    get_current_context,
    task,
)
from amazon_ml.operators.sagemaker_notebook import (
    SageMakerDeleteLifecycleConfigIfExistsOperator,
    SageMakerDeleteNotebookIfExistsOperator,
    SageMakerDeployLifecycleConfigOperator,
    SageMakerDeployNotebookOperator,
    SageMakerStartNotebookIfStoppedOperator,
    SageMakerStopNotebookIfRunningOperator,
)
from dag_defaults import add_dags, aws_client, check_conf, dag_link, dag_options
from project_pages.links import WorkspaceLink
from run_results import RunResults

from include.pipeline import dag_docs, infrastructure, names, workspace
from include.pipeline.settings import Project

FIRST_TASKS = {
    "create": "prepare",
    "start": "start_instance",
    "stop": "stop_instance",
    "delete": "delete_instance",
}
"""By action: the task that it begins with."""


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    with DAG(
        **dag_options(project, "workspace", "workspace", "exploration"),
        description=f"Create, start, stop or delete a notebook instance to explore {project.name} in.",
        doc_md=dag_docs.workspace(project, dag_link),
        schedule=None,
        is_paused_upon_creation=False,  # it runs on request alone
        params={
            "action": Param(
                "create",
                type="string",
                enum=list(FIRST_TASKS),
                values_display={
                    "create": "Create: create or update the instance, and start it",
                    "start": "Start: start a stopped instance",
                    "stop": "Stop: end the bill for the instance, keep its files",
                    "delete": "Delete: delete the instance with all files on it; there is no undo",
                },
                title="Action",
                description=f"{project.workspace.instance_type} is billed for as long as it is in service.",
            ),
        },
    ) as dag:

        @task.branch
        def choose() -> str:
            """Go on with what the form asks for."""
            check_conf(get_current_context())
            return FIRST_TASKS[get_current_context()["params"]["action"]]

        @task
        def prepare() -> dict[str, str]:
            """Put scripts, settings and notebook to S3, and look up the role."""
            s3 = aws_client("s3")
            found, region = (
                infrastructure.read_infrastructure(aws_client("cloudformation")),
                s3.meta.region_name,
            )
            return {
                "role": workspace.role(found),
                "archive": workspace.upload(project, found, region, s3),
                "region": region,
            }

        def prepared(context: Context) -> Any:
            return RunResults(context)["prepare"]

        name = names.workspace_name(project)
        instance: dict[str, Any] = {"NotebookInstanceName": name}
        waiting: dict[str, Any] = {
            "poll_interval": project.poll_seconds,
            "max_wait": timedelta(hours=1),
            "deferrable": True,
        }
        put_lifecycle_config = SageMakerDeployLifecycleConfigOperator(
            task_id="put_lifecycle_config",
            config=lambda context, jinja_env: workspace.lifecycle_config(
                project, prepared(context)["archive"], prepared(context)["region"]
            ),
        )
        create_instance = SageMakerDeployNotebookOperator(
            task_id="create_instance",
            config=lambda context, jinja_env: workspace.notebook_instance(project, prepared(context)["role"]),
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
    return dag


errors = add_dags(globals(), "workspace", build)
