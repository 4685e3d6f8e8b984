"""A task whose trigger is lost starts over in the same try."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.trigger import TriggerFailureReason
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import TaskDeferralError
from amazon_ml.operators import lost_trigger
from amazon_ml.operators.ec2_training import EC2TrainingOperator
from amazon_ml.operators.lambda_alias import LambdaProvisionedConcurrencyOperator
from amazon_ml.operators.lost_trigger import RestartOnLostTriggerOperator, deferral_timeout
from amazon_ml.operators.sagemaker_jobs import SageMakerResumableTrainingOperator

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        pytest.param(NOW + 600, timedelta(minutes=20), id="after the trigger's own deadline"),
        pytest.param(NOW - 600, timedelta(minutes=10), id="a deadline in the past"),
        pytest.param(None, timedelta(hours=12), id="no deadline"),
        pytest.param(NOW + 100 * 3600, timedelta(hours=12), id="a distant deadline"),
    ],
)
def test_deferral_timeout_is_later_than_the_triggers_deadline(
    deadline: float | None, expected: timedelta
) -> None:
    assert deferral_timeout(deadline) == expected


class Operator(RestartOnLostTriggerOperator):
    begun = 0

    def begin(self, context: Any) -> str:
        self.begun += 1
        return "found"


def resume(error: str) -> Any:
    return Operator(task_id="task").resume_execution(TRIGGER_FAIL_REPR, {"error": error}, {})


def test_task_starts_over_if_its_trigger_did_not_fire() -> None:
    assert resume(TriggerFailureReason.TRIGGER_TIMEOUT) == "found"


def test_failed_trigger_fails_the_try() -> None:
    with pytest.raises(TaskDeferralError):
        resume(TriggerFailureReason.TRIGGER_FAILURE)


def test_running_job_is_adopted_with_the_same_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SageMakerResumableTrainingOperator(
        task_id="train", config={"TrainingJobName": "birds"}, deferrable=True, max_wait=60
    )
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    description = {
        "TrainingJobName": "birds",
        "TrainingJobStatus": "InProgress",
        "CreationTime": datetime.fromtimestamp(NOW - 600, UTC),
    }
    monkeypatch.setattr(job, "describe", lambda name: description)
    monkeypatch.setattr(job, "_persist_links", lambda *_: None)
    with pytest.raises(TaskDeferred) as deferred:
        job.resume_execution(TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, {})
    assert deferred.value.trigger.deadline == NOW - 540  # type: ignore[attr-defined]
    assert deferred.value.timeout == lost_trigger.GRACE


def test_every_deferral_has_a_timeout() -> None:
    job = SageMakerResumableTrainingOperator(task_id="train", config={}, deferrable=True)
    training = EC2TrainingOperator(task_id="train", config={"LogGroup": "x"}, deferrable=True)
    concurrency = LambdaProvisionedConcurrencyOperator(
        task_id="warm",
        function_name="birds",
        qualifier="live",
        provisioned_concurrent_executions=1,
        deferrable=True,
        max_wait=60,
    )
    waits = [
        lambda: job.wait("birds"),
        lambda: training.wait({}, deadline=NOW, then="execute_command"),  # type: ignore[typeddict-item]
        lambda: concurrency.wait({}, "live", "execute_complete"),  # type: ignore[typeddict-item]
    ]
    timeouts = []
    for wait in waits:
        with pytest.raises(TaskDeferred) as deferred:
            wait()
        timeouts.append(deferred.value.timeout)
    assert timeouts == [timedelta(hours=12), timedelta(minutes=10), timedelta(minutes=11)]
