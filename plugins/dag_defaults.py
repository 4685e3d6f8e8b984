"""What every DAG of a project has in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, get_parsing_context
from amazon_ml.notifications.failures import keep_cause

from include.pipeline.settings import Project, read_projects


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
    }


def aws_client(service: str) -> Any:
    """A boto3 client with the credentials of Airflow's connection."""
    return AwsBaseHook(client_type=service).get_conn()


def wanted_projects(kind: str) -> list[Project]:
    """Return the projects to build a DAG of this kind for: all of them, or in a worker only that of its task."""
    wanted = get_parsing_context().dag_id
    return [project for project in read_projects()[0] if wanted in (None, f"{project.name}.{kind}")]
