"""Who is told of runs that fail, wait for a person or take too long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert
from amazon_ml.notifications.sns import LateRunNotifier, QuestionNotifier, RunFailureNotifier
from dag_defaults import aws_client
from upstream_guards.deadlines import RunQueuedAt

from include.pipeline import infrastructure, notify
from include.pipeline.settings import Project


def _topic(project: Project) -> dict[str, Any]:
    """Where a notifier finds its topic, when it has something to tell."""
    return {
        "target_arn": project.notify.topic_arn,
        "stack_name": infrastructure.stack_name(),
        "output_key": infrastructure.TOPIC_OUTPUT,
    }


def on_failure(project: Project, dag_id: str) -> RunFailureNotifier:
    """Tells of a failed run, once all its tasks have ended, the rollback too."""
    return RunFailureNotifier(
        subject=notify.failure_subject(project),
        compose=lambda run_id, failed: notify.failure_message(
            project, dag_id, run_id, failed, aws_client("sagemaker"), aws_client("lambda")
        ),
        **_topic(project),
    )


def on_question(project: Project) -> QuestionNotifier:
    """Tells of a question that waits for an answer."""
    return QuestionNotifier(**_topic(project))


def deadline(project: Project) -> DeadlineAlert | None:
    """Tells of a run that takes too long, where the project says how long that is."""
    if project.deadline_minutes is None:
        return None
    message = {"subject": notify.deadline_subject(project), "message": notify.deadline_message(project)}
    return DeadlineAlert(
        reference=RunQueuedAt(),
        interval=timedelta(minutes=project.deadline_minutes),
        callback=AsyncCallback(LateRunNotifier, kwargs={**message, **_topic(project)}),
    )
