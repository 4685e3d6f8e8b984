"""Arguments and helpers that all DAGs of a project share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import (
    DAG,
    Context,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    TaskGroup,
    get_parsing_context,
)
from amazon_ml.notifications.failures import keep_cause
from project_pages.links import airflow_url

from include.pipeline import run_conf
from include.pipeline.pages.documents import Run
from include.pipeline.project_files import read_projects
from include.pipeline.settings import Project, SettingsError

log = logging.getLogger(__name__)


def default_args(owner: str) -> dict[str, Any]:
    """Return the default arguments of all tasks. Errors that a retry can't fix are not retried."""
    return {
        "owner": owner,
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_policy": ExceptionRetryPolicy(
            rules=[RetryRule(exception="include.pipeline.errors.PermanentError", action=RetryAction.FAIL)]
        ),
        "on_failure_callback": keep_cause,
        # The log starts with the verdict of the task. Its return value is on the XCom tab.
        "show_return_value_in_logs": False,
    }


def dag_options(project: Project, kind: str, title: str, tag: str) -> dict[str, Any]:
    """Return the arguments that all DAGs of a project share.

    :param kind: The second part of the DAG ID.
    :param title: What the DAG does. The list of DAGs shows it after the project's name and is sorted by it, so the
        title of the main DAG should come first.
    :param tag: A tag that distinguishes the DAG from the project's other DAGs, such as ``destructive``.
    """
    return {
        "dag_id": f"{project.name}.{kind}",
        "dag_display_name": f"{project.name}: {title}",
        "tags": ["image-classifier", project.name, tag],
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "auto_register": False,  # add_dags registers it when it is complete
        "default_args": default_args(project.owner),
    }


def dag_link(dag_id: str) -> str:
    """Return a Markdown link to a DAG in the Airflow UI."""
    return f"[{dag_id}]({airflow_url().rstrip('/')}/dags/{dag_id})"


def task_group(group_id: str, title: str, tooltip: str) -> TaskGroup:
    """Return a task group, which the graph and the grid show as one node until it is expanded.

    :param title: The label of the node.
    """
    return TaskGroup(group_id, group_display_name=title, tooltip=tooltip, prefix_group_id=False)


def switch(default: bool, title: str, description: str, section: str | None = None) -> Param:
    """Return a param that the form shows as a switch.

    Its schema lists the two values instead of a type, since the form marks each param with a type as required. The type
    ``["boolean", "null"]`` is not an alternative, since a run could then pass null.
    """
    schema: dict[str, Any] = {"enum": [False, True], "title": title, "description": description}
    if section:
        schema["section"] = section
    return Param(default, **schema)


def aws_client(service: str) -> Any:
    """Return a boto3 client with the credentials of the Airflow connection."""
    return AwsBaseHook(client_type=service).get_conn()


def run_of(context: Context) -> Run:
    """Return the details of a run that its pages show."""
    dag_run, ti = context["dag_run"], context["ti"]
    url = unquote(ti.log_url.partition("/tasks/")[0])
    return Run(id=dag_run.run_id, url=url, started=dag_run.start_date)


def check_conf(context: Context) -> None:
    """Reject a run whose conf has an unknown key or an invalid value; the first task of each DAG calls this.

    Airflow rejects values that contradict a param's schema when a run is triggered, but ignores unknown keys.

    :raises RunConfError: With the key and the closest valid one.
    """
    params = context["dag"].params
    schemas = {name: params.get_param(name).schema for name in params}
    run_conf.check(context["dag_run"].conf, schemas)


def add_dags(namespace: dict[str, Any], kind: str, build: Callable[[Project], DAG]) -> list[SettingsError]:
    """Add a DAG for each project to a DAG file; in a worker, only the DAG of its task.

    :param namespace: The globals of the file, where Airflow looks for DAGs.
    :param build: Return a DAG with ``auto_register=False``, so that Airflow does not register an incomplete DAG.
    :return: An error for each project whose DAG can't be built. ``dags/project_files.py`` shows them. If they were
        raised here, the DAGs of all projects would be missing.
    """
    wanted, errors = get_parsing_context().dag_id, []
    for project in read_projects()[0]:
        dag_id = f"{project.name}.{kind}"
        if wanted not in (None, dag_id):
            continue
        try:
            dag = build(project)
            # Airflow does both after parsing the file. An error then would affect all DAGs of the file.
            dag.validate()
            dag.check_cycle()
        except Exception as error:
            log.exception("The DAG %s can't be built", dag_id)
            errors.append(
                SettingsError(f"{project.name}.yaml: the DAG {dag_id} can't be built: {_in_one_line(error)}.")
            )
        else:
            namespace[dag_id.replace(".", "_")] = dag
    return errors


def _in_one_line(error: Exception) -> str:
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}".rstrip(" .:")
