"""Waiting for a SageMaker resource in the triggerer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from amazon_ml.triggers.sagemaker import SageMakerStatusTrigger, progress
from botocore.exceptions import ClientError, ConnectionClosedError

WRITE = "mkdir -p /opt/ml/processing/output && echo done > /opt/ml/processing/output/result.txt"
ProcessingConfig = Callable[..., dict[str, Any]]


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def waiting_for(name: str, **kwargs: Any) -> SageMakerStatusTrigger:
    arguments: dict[str, Any] = {
        "describe": "describe_processing_job",
        "describe_args": {"ProcessingJobName": name},
        "status_key": "ProcessingJobStatus",
        "pending_states": ["InProgress", "Stopping"],
        "stop": "stop_processing_job",
        "poll_interval": 0.1,
    }
    return SageMakerStatusTrigger(**(arguments | kwargs))


@pytest.fixture
def start(aws: Any, processing_config: ProcessingConfig) -> Callable[[str], str]:
    """Start a processing job that runs a shell command; return its name."""

    def run(command: str) -> str:
        name = unique("job")
        aws.client("sagemaker").create_processing_job(**processing_config(name, command))
        return name

    return run


@pytest.fixture
def status(aws: Any) -> Callable[[str], str]:
    def ask(name: str) -> str:
        answer = aws.client("sagemaker").describe_processing_job(ProcessingJobName=name)
        return answer["ProcessingJobStatus"]

    return ask


class TestSageMakerStatusTrigger:
    def test_fires_with_the_final_state(self, start: Callable[[str], str]) -> None:
        name = start(WRITE)
        assert asyncio.run(waiting_for(name).wait()) == {"status": "Completed", "name": name}

    def test_serialization(self, start: Callable[[str], str]) -> None:
        trigger = waiting_for(
            start(WRITE), deadline=time.time() + 600, log_group="/aws/sagemaker/ProcessingJobs"
        )
        stored = Trigger.from_object(trigger)
        assert stored.classpath == "amazon_ml.triggers.sagemaker.SageMakerStatusTrigger"
        again = SageMakerStatusTrigger(**stored.kwargs)
        assert again.serialize() == trigger.serialize()
        assert asyncio.run(again.wait())["status"] == "Completed"

    def test_log_lines_and_states_of_the_job_are_logged(
        self, start: Callable[[str], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = start(f"echo 12 birds; {WRITE}")
        where = {"log_group": "/aws/sagemaker/ProcessingJobs", "log_stream_prefix": f"{name}/"}
        asyncio.run(waiting_for(name, **where).wait())
        shown = capsys.readouterr().out
        assert shown.count("12 birds") == 1
        assert f"{name}: Completed" in shown

    def test_killed_task_stops_its_job(
        self, start: Callable[[str], str], status: Callable[[str], str], eventually: Callable[..., Any]
    ) -> None:
        name = start("sleep 600")
        asyncio.run(waiting_for(name).on_kill())
        eventually(lambda: status(name) == "Stopped")

    def test_kill_after_the_end_of_the_job_does_nothing(
        self, start: Callable[[str], str], status: Callable[[str], str]
    ) -> None:
        name = start(WRITE)
        asyncio.run(waiting_for(name).wait())
        asyncio.run(waiting_for(name).on_kill())
        assert status(name) == "Completed"

    def test_kill_makes_no_calls_if_the_resource_can_not_be_stopped(self) -> None:
        asyncio.run(waiting_for("any", stop=None, aws_conn_id="no-such-connection").on_kill())

    def test_job_is_stopped_at_the_deadline(
        self, start: Callable[[str], str], status: Callable[[str], str], eventually: Callable[..., Any]
    ) -> None:
        name = start("sleep 600")
        event = asyncio.run(waiting_for(name, deadline=time.time() + 0.3, poll_interval=30).wait())
        assert event == {"status": "timeout", "name": name}
        eventually(lambda: status(name) == "Stopped")

    def test_an_error_of_aws_reaches_the_task(self, aws: Any) -> None:
        event = asyncio.run(waiting_for("no-such-job").wait())
        assert event["status"] == "error"
        assert "Could not find" in event["message"]


class Scripted(SageMakerStatusTrigger):
    """A trigger with these responses of AWS, of which the last one is repeated."""

    def __init__(self, *answers: Any, **kwargs: Any) -> None:
        arguments: dict[str, Any] = {
            "describe": "describe_endpoint",
            "describe_args": {"EndpointName": "birds"},
            "status_key": "EndpointStatus",
            "pending_states": ["Updating"],
            "poll_interval": 0.01,
        }
        super().__init__(**(arguments | kwargs))
        self.answers = list(answers)
        self.clients = 0

    def hook(self) -> Any:
        return self

    async def get_async_conn(self) -> Scripted:
        self.clients += 1
        return self

    async def __aenter__(self) -> Scripted:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"EndpointStatus": answer}


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "Describe")


class TestErrorsOfAws:
    @pytest.mark.parametrize(
        "trouble",
        [
            pytest.param(throttled(), id="throttled"),
            pytest.param(ConnectionClosedError(endpoint_url="https://aws"), id="connection closed"),
            pytest.param(ConnectionResetError(), id="connection reset"),
        ],
    )
    def test_transient_error_is_retried_with_a_new_client(self, trouble: Exception) -> None:
        trigger = Scripted("Updating", trouble, trouble, "Updating", trouble, "InService")
        assert asyncio.run(trigger.wait()) == {"status": "InService", "name": "birds"}
        assert trigger.clients == 4

    def test_permanent_error_is_reported_to_the_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amazon_ml.transient_errors.LIMIT_SECONDS", 0.05)
        event = asyncio.run(Scripted("Updating", throttled()).wait())
        assert event["status"] == "error"
        assert "Rate exceeded" in event["message"]

    def test_deadline_ends_the_wait_if_aws_does_not_respond(self) -> None:
        event = asyncio.run(Scripted(throttled(), deadline=time.time() + 0.05).wait())
        assert event == {"status": "timeout", "name": "birds"}


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        pytest.param({"S": "InProgress"}, "InProgress", id="status alone"),
        pytest.param({"S": "Completed", "SecondaryStatus": "Completed"}, "Completed", id="not repeated"),
        pytest.param(
            {
                "S": "InProgress",
                "SecondaryStatus": "Downloading",
                "SecondaryStatusTransitions": [
                    {"StatusMessage": "Preparing the instances"},
                    {"StatusMessage": "Downloading input data"},
                ],
            },
            "InProgress - Downloading - Downloading input data",
            id="training",
        ),
        pytest.param(
            {"S": "InProgress", "TrainingJobStatusCounters": {"Completed": 3, "InProgress": 2, "Stopped": 0}},
            "InProgress - 3 Completed, 2 InProgress",
            id="tuning",
        ),
    ],
)
def test_progress(description: dict[str, Any], expected: str) -> None:
    assert progress(description, "S") == expected
