"""Send notifications about runs that fail, wait for an answer or take too long."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert
from amazon_ml.notifications.sns import LateRunNotifier, QuestionNotifier, RunFailureNotifier
from dag_defaults import aws_client
from upstream_guards.deadlines import RunQueuedAt

from include.pipeline import infrastructure, notify
from include.pipeline.settings import Project


def _topic(project: Project) -> dict[str, str | None]:
    """Return the arguments with which a notifier finds its topic."""
    return {
        "target_arn": project.notify.topic_arn,
        "stack_name": infrastructure.stack_name(),
        "output_key": infrastructure.TOPIC_OUTPUT,
    }


def on_failure(project: Project, dag_id: str) -> RunFailureNotifier:
    """Return the notifier for a failed run; it is called when all tasks have ended, including the rollback."""
    return RunFailureNotifier(
        subject=notify.failure_subject(project),
        compose=lambda run_id, failed: notify.failure_message(
            project, dag_id, run_id, failed, aws_client("sagemaker"), aws_client("lambda")
        ),
        **_topic(project),
    )


def on_question(project: Project) -> QuestionNotifier:
    """Return the notifier for a question that waits for an answer."""
    return QuestionNotifier(**_topic(project))


def deadline(project: Project) -> DeadlineAlert | None:
    """Return the alert for a run that takes too long; None if the project sets no deadline."""
    if project.deadline_minutes is None:
        return None
    message = {"subject": notify.deadline_subject(project), "message": notify.deadline_message(project)}
    return DeadlineAlert(
        reference=RunQueuedAt(),
        interval=timedelta(minutes=project.deadline_minutes),
        callback=AsyncCallback(LateRunNotifier, kwargs={**message, **_topic(project)}),
    )
