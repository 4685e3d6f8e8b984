"""``<project>.teardown``: delete the resources that a project is billed for, and verify that nothing is left.

It can run at any time, any number of times. By default, it only lists what it would delete: to delete, switch "Dry run"
off and type the project's name. Images, models, reports, the model registry, logs and the stack are kept unless the
form selects them, so that a later ``train_and_deploy`` finds its jobs completed and only deploys.

A failed step does not prevent the next ones. The last task, ``verify``, lists what failed and what is left.

With ``endpoint.ttl_hours``, a run starts every hour, and continues only if the endpoint had no requests for that long.
Such a run keeps the workspace, since it holds files of users.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dag_defaults import add_dags, dag_link, dag_options, switch
from pipeline_steps.tear_down import (
    delete_on_request,
    delete_serving,
    delete_workspace,
    find_and_confirm,
    stop_computing,
    verify_teardown,
)

from include.pipeline import dag_docs
from include.pipeline.settings import Project


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    options = dag_options(project, "teardown", "tear down", "destructive")
    scope = "What to delete"
    with DAG(
        **options,
        description=f"Destructive: delete the resources of {project.name} in AWS. Lists them first.",
        doc_md=dag_docs.teardown(project, dag_link),
        schedule=None if project.endpoint.ttl_hours is None else "@hourly",
        is_paused_upon_creation=False,  # it runs on request, and where the project file asks for the check
        params={
            "dry_run": switch(
                True,
                "Dry run",
                "Only list what would be deleted. Switch off to delete.",
            ),
            "confirm": Param(
                None,
                type=["null", "string"],
                title="Confirm",
                description=f"To delete, type the project's name: {project.name}. Leave empty for a dry run.",
            ),
            "delete_workspace": switch(
                True,
                "Delete workspace",
                "The notebook instance with all files on it. There is no undo.",
                scope,
            ),
            "delete_data": switch(
                False,
                "Delete data",
                "Images, models and reports in S3. There is no undo.",
                scope,
            ),
            "delete_registry": switch(
                False,
                "Delete registry",
                "The project's model packages and their group. There is no undo.",
                scope,
            ),
            "delete_logs": switch(
                False,
                "Delete logs",
                "The logs of the function, the endpoint and the jobs in CloudWatch. There is no undo.",
                scope,
            ),
            "delete_infrastructure": switch(
                False,
                "Delete infrastructure",
                "The CloudFormation stack, if no other project needs it. The bucket stays. Airflow's own "
                "policies do not allow it: docs/going-to-aws.md.",
                scope,
            ),
        },
    ) as dag:
        chain(
            *find_and_confirm(project),
            delete_workspace(project),
            stop_computing(project),
            delete_serving(project),
            delete_on_request(project),
            verify_teardown(project),
        )
    return dag


errors = add_dags(globals(), "teardown", build)
