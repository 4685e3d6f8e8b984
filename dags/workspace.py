"""``<project>.workspace``: a SageMaker notebook instance with the project's scripts and a notebook.

The form chooses the action. Each action can be repeated.

- ``create`` creates or updates the instance, and waits until it is in service. To change its type, role or disk, it
  is stopped and started again; its files are kept.
- ``stop`` stops the bill for the instance. Its disk is kept, and billed. ``start`` starts it again. The instance stops
  automatically after ``workspace.idle_stop_minutes`` without activity.
- ``delete`` deletes the instance with all files on it.

The tasks ``create_instance`` and ``start_instance`` link to the instance. AWS handles the sign-in, so that Airflow
stores no credentials. On a laptop, the link opens the instance for users who may trigger this DAG.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param
from dag_defaults import add_dags, dag_link, dag_options
from pipeline_steps.manage_notebook import FIRST_TASKS, manage_instance

from include.pipeline import dag_docs
from include.pipeline.settings import Project


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
        manage_instance(project)
    return dag


errors = add_dags(globals(), "workspace", build)
