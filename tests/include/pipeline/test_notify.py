"""Notifications: complete, short enough for SNS, and also if AWS does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from include.pipeline import notify
from include.pipeline.settings import Project
from tests.include.pipeline.standing import Standing

SUBJECT_CHARACTERS = 100
"""That SNS allows."""


def test_a_failure_message_has_project_run_task_cause_and_state(
    local_aws: Any, eventually: Callable[..., Any]
) -> None:
    project = Project(name="notified", description="x", poll_seconds=1)
    standing = Standing(project, local_aws.client, eventually)
    sagemaker = local_aws.client("sagemaker")
    failures = {"smoke_test": "SmokeTestError: 3 of 10 are wrong"}

    def lines() -> list[str]:
        return notify.failure_message(
            project, "notified.train_and_deploy", "manual__1", failures, sagemaker, local_aws.client("lambda")
        ).splitlines()

    told = [
        "Project: notified",
        "Run: manual__1 of notified.train_and_deploy",
        "Task smoke_test failed: SmokeTestError: 3 of 10 are wrong",
    ]
    assert lines() == [*told, "Endpoint notified does not exist. No model is live."]
    standing.make_endpoint()
    (model,) = sagemaker.list_models(NameContains="notified-model-")["Models"]
    assert lines() == [*told, f"Endpoint notified is InService with model {model['ModelName']}."]
    sagemaker.delete_endpoint(EndpointName="notified")


def test_a_failure_message_is_complete_if_aws_does_not_answer(project: Project) -> None:
    sagemaker, functions = (
        boto3.client(
            name, endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1})
        )
        for name in ("sagemaker", "lambda")
    )
    message = notify.failure_message(project, "birds.train_and_deploy", "r", {}, sagemaker, functions)
    assert "No failed task was found" in message
    assert "The state of endpoint birds could not be read: Could not connect" in message


@pytest.mark.parametrize("subject", [notify.failure_subject, notify.deadline_subject])
def test_subjects_are_valid_for_sns(subject: Callable[[Project], str]) -> None:
    longest = Project(name="a" * 16, description="x")
    assert subject(longest).isascii()
    assert len(subject(longest)) <= SUBJECT_CHARACTERS


def test_the_message_about_a_late_run_has_its_limit(project: Project) -> None:
    message = notify.deadline_message(project.model_copy(update={"deadline_minutes": 90}))
    assert "has not finished 90 minutes after it was queued" in message
    assert "{{ dag_run.dag_run_id }}" in message
