"""What every DAG of a project has in common."""

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
from include.pipeline.settings import Project, SettingsError, read_projects

log = logging.getLogger(__name__)


def default_args(owner: str) -> dict[str, Any]:
    """What holds for each task that does not say otherwise: what a retry can't mend is not tried again."""
    return {
        "owner": owner,
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_policy": ExceptionRetryPolicy(
            rules=[RetryRule(exception="include.pipeline.errors.PermanentError", action=RetryAction.FAIL)]
        ),
        "on_failure_callback": keep_cause,
        # The log begins with the sentence that a task has decided; what it returns is on its XCom tab.
        "show_return_value_in_logs": False,
    }


def dag_options(project: Project, kind: str, title: str, tag: str) -> dict[str, Any]:
    """Return the arguments that the DAGs of a project have in common.

    :param kind: The second part of the DAG's id.
    :param title: What the DAG does, as the list of DAGs shows it behind the project's name. The list is sorted by it,
        and the main DAG should come first.
    :param tag: What sets the DAG apart from the project's other DAGs, such as ``destructive``.
    """
    return {
        "dag_id": f"{project.name}.{kind}",
        "dag_display_name": f"{project.name}: {title}",
        "tags": ["image-classifier", project.name, tag],
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "auto_register": False,  # by add_dags instead, once it is complete
        "default_args": default_args(project.owner),
    }


def dag_link(dag_id: str) -> str:
    """Return a Markdown link to a DAG in Airflow's UI."""
    return f"[{dag_id}]({airflow_url().rstrip('/')}/dags/{dag_id})"


def task_group(group_id: str, title: str, tooltip: str) -> TaskGroup:
    """Return a group of tasks, which Airflow's graph and grid show as one node until it is opened.

    :param title: What the node shows.
    """
    return TaskGroup(group_id, group_display_name=title, tooltip=tooltip, prefix_group_id=False)


def switch(default: bool, title: str, description: str, section: str | None = None) -> Param:
    """Return a param that is a switch in the form.

    Its schema names the two values, not a type: the form marks each param that has a type as required. The type
    ``["boolean", "null"]`` is no way out, since a run could then have null for it.
    """
    schema: dict[str, Any] = {"enum": [False, True], "title": title, "description": description}
    if section:
        schema["section"] = section
    return Param(default, **schema)


def aws_client(service: str) -> Any:
    """A boto3 client with the credentials of Airflow's connection."""
    return AwsBaseHook(client_type=service).get_conn()


def run_of(context: Context) -> Run:
    """Return what a page says of the run that makes it."""
    dag_run, ti = context["dag_run"], context["ti"]
    url = unquote(ti.log_url.partition("/tasks/")[0])
    return Run(id=dag_run.run_id, url=url, started=dag_run.start_date)


def check_conf(context: Context) -> None:
    """Refuse a run whose conf has a key or a value that no param takes; the first task of each DAG does so.

    Airflow refuses what contradicts a param's schema when a run is triggered, but takes and ignores any other key.

    :raises RunConfError: naming the key, and what is meant instead.
    """
    params = context["dag"].params
    schemas = {name: params.get_param(name).schema for name in params}
    run_conf.check(context["dag_run"].conf, schemas)


def add_dags(namespace: dict[str, Any], kind: str, build: Callable[[Project], DAG]) -> list[SettingsError]:
    """Put a DAG of each project into a DAG file; in a worker only that of its task.

    :param namespace: the file's globals, where Airflow looks for DAGs.
    :param build: makes a DAG with ``auto_register=False``, so that Airflow does not find it half built.
    :return: an error for each project whose DAG can't be built. ``dags/project_files.py`` shows them: raised here,
        they would take down the DAGs of all projects.
    """
    wanted, errors = get_parsing_context().dag_id, []
    for project in read_projects()[0]:
        dag_id = f"{project.name}.{kind}"
        if wanted not in (None, dag_id):
            continue
        try:
            dag = build(project)
            # Airflow does both once the file is read; what they find then counts against the whole file.
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
