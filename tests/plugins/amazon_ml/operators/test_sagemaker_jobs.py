"""SageMaker jobs against local AWS: run once, adopted, retried, stopped."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from amazon_ml.job_logs import JobLogReader
from amazon_ml.operators.sagemaker_jobs import (
    SageMakerResumableProcessingOperator,
    SageMakerResumableTrainingOperator,
    SageMakerResumableTuningOperator,
)
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.environments import WITHOUT_TORCH
from tests.plugins.amazon_ml.asynchronous import connect_triggers
from tests.plugins.amazon_ml.operators.context import Context

ROLE = "arn:aws:iam::123456789012:role/any"
WRITE = "mkdir -p /opt/ml/processing/output && echo done > /opt/ml/processing/output/result.txt"
FOREVER = "sleep 600"
ProcessingConfig = Callable[..., dict[str, Any]]
Eventually = Callable[..., Any]


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def processing_jobs(aws: Any, prefix: str) -> list[str]:
    found = aws.client("sagemaker").list_processing_jobs(NameContains=prefix)["ProcessingJobSummaries"]
    return sorted(job["ProcessingJobName"] for job in found)


def processing_status(aws: Any, name: str) -> str:
    return aws.client("sagemaker").describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"]


def stop(aws: Any, name: str) -> None:
    """Stop a job when it exists, since an operator may be about to create it."""
    sagemaker = aws.client("sagemaker")
    while not sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]:
        time.sleep(0.1)
    sagemaker.stop_processing_job(ProcessingJobName=name)


def run(operator: Any, context: Any = None) -> Any:
    """Run a task as Airflow does: after each deferral, run the trigger, then the given method."""
    context = context or Context()
    method, arguments = operator.execute, {}
    while True:
        try:
            return method(context, **arguments)
        except TaskDeferred as deferred:
            arguments = {"event": asyncio.run(deferred.trigger.wait())}
            operator.name = None  # another process continues
            method = getattr(operator, deferred.method_name)


def processing(config: Any, **kwargs: Any) -> SageMakerResumableProcessingOperator:
    arguments: dict[str, Any] = {"deferrable": False, "poll_interval": 0.3}
    return SageMakerResumableProcessingOperator(task_id="job", config=config, **(arguments | kwargs))


def until(gate: Path) -> str:
    """A shell command that waits for a file."""
    return f"while [ ! -e {gate} ]; do sleep 0.1; done"


def open_after_a_look(operator: SageMakerResumableProcessingOperator, gate: Path, status: str) -> None:
    """Create a file when the operator has seen its job in a status."""
    describe = operator.describe

    def look(name: str) -> Any:
        answer = describe(name)
        if answer and answer["ProcessingJobStatus"] == status:
            gate.touch()
        return answer

    operator.describe = look  # type: ignore[method-assign]


both_ways = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])


class TestSageMakerResumableProcessingOperator:
    def test_template_fields(self) -> None:
        assert SageMakerResumableProcessingOperator.template_fields == (
            "aws_conn_id",
            "config",
            "region_name",
            "verify",
        )

    @both_ways
    def test_job_runs_and_returns_a_small_result(
        self, aws: Any, processing_config: ProcessingConfig, deferrable: bool
    ) -> None:
        name = unique("runs")
        result = run(processing(processing_config(name, WRITE), deferrable=deferrable))
        started, ended = (datetime.fromisoformat(result.pop(key)) for key in ("started", "ended"))
        assert result == {
            "name": name,
            "arn": f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{name}",
            "status": "Completed",
            "billable_seconds": round((ended - started).total_seconds()),
            "output": f"s3://operators/{name}",
        }
        assert started < ended

    def test_job_without_outputs_returns_none(self, aws: Any, processing_config: ProcessingConfig) -> None:
        config = processing_config(unique("silent"), "true")
        del config["ProcessingOutputConfig"]
        for _ in range(2):
            assert run(processing(config)) == run(processing(config))
        assert run(processing(config))["output"] is None
        assert processing_jobs(aws, config["ProcessingJobName"]) == [config["ProcessingJobName"]]

    def test_second_run_uses_the_completed_job(self, aws: Any, processing_config: ProcessingConfig) -> None:
        config = processing_config(unique("twice"), WRITE)
        assert run(processing(config)) == run(processing(config))
        assert processing_jobs(aws, config["ProcessingJobName"]) == [config["ProcessingJobName"]]

    def test_numbers_as_text_are_converted(self, aws: Any, processing_config: ProcessingConfig) -> None:
        config = processing_config(name := unique("text"), WRITE)
        config["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = "1"
        for _ in range(2):
            assert run(processing(config))["name"] == name

    @both_ways
    def test_retry_adopts_the_running_job(
        self, aws: Any, processing_config: ProcessingConfig, deferrable: bool, tmp_path: Path
    ) -> None:
        config = processing_config(unique("adopt"), f"{until(tmp_path / 'gate')}; {WRITE}")
        aws.client("sagemaker").create_processing_job(**config)
        operator = processing(config, deferrable=deferrable)
        open_after_a_look(operator, tmp_path / "gate", "InProgress")
        run(operator)
        assert processing_jobs(aws, config["ProcessingJobName"]) == [config["ProcessingJobName"]]

    def test_adopted_job_gets_the_new_tags(self, aws: Any, processing_config: ProcessingConfig) -> None:
        config = processing_config(unique("tags"), WRITE)
        arn = run(processing(config))["arn"]
        run(processing(config | {"Tags": [{"Key": "project", "Value": "cats"}]}))
        assert aws.client("sagemaker").list_tags(ResourceArn=arn)["Tags"] == [
            {"Key": "project", "Value": "cats"}
        ]

    def test_job_that_was_created_in_the_meantime_is_adopted(
        self, aws: Any, processing_config: ProcessingConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = processing_config(unique("race"), WRITE)
        operator = processing(config)
        describe, asked = operator.describe, []

        def too_early(name: str) -> Any:
            asked.append(name)
            if len(asked) > 1:
                return describe(name)
            aws.client("sagemaker").create_processing_job(**config)
            return None

        monkeypatch.setattr(operator, "describe", too_early)
        assert run(operator)["name"] == config["ProcessingJobName"]

    def test_completed_job_with_a_different_request_is_an_error_with_the_differences(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        config = processing_config(name := unique("other"), WRITE)
        run(processing(config))
        message = f"{name} already exists.*RoleArn: requested '{ROLE}-else', found '{ROLE}'"
        with pytest.raises(AirflowFailException, match=message):
            run(processing(config | {"RoleArn": f"{ROLE}-else"}))

    def test_running_job_with_a_different_request_is_an_error_and_continues(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        config = processing_config(name := unique("busy"), FOREVER)
        aws.client("sagemaker").create_processing_job(**config)
        operator = processing(processing_config(name, WRITE))
        with pytest.raises(
            AirflowFailException, match=r"ContainerEntrypoint\[2\]: requested '.*', found 'sleep"
        ):
            run(operator)
        operator.on_kill()
        assert processing_status(aws, name) == "InProgress"
        stop(aws, name)

    @both_ways
    def test_next_attempt_after_a_failure_has_a_number(
        self, aws: Any, processing_config: ProcessingConfig, deferrable: bool
    ) -> None:
        name = unique("fails")
        with pytest.raises(AirflowFailException, match=f"{name} is Failed: AlgorithmError"):
            run(processing(processing_config(name, "exit 3"), deferrable=deferrable))
        assert run(processing(processing_config(name, WRITE), deferrable=deferrable))["name"] == f"{name}-2"

    def test_failure_outside_the_script_may_be_retried(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        config = processing_config(unique("input"), WRITE)
        config["ProcessingInputs"] = [
            {
                "InputName": "images",
                "S3Input": {
                    "S3Uri": "s3://operators/no-such-prefix",
                    "LocalPath": "/opt/ml/processing/images",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ]
        with pytest.raises(AirflowException, match="is Failed: ClientError") as failure:
            run(processing(config))
        assert not isinstance(failure.value, AirflowFailException)

    def test_completed_job_without_output_runs_again(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        config = processing_config(unique("gone"), WRITE)
        run(processing(config))
        aws.client("s3").delete_object(Bucket="operators", Key=f"{config['ProcessingJobName']}/result.txt")
        assert run(processing(config))["name"] == f"{config['ProcessingJobName']}-2"

    def test_name_that_is_too_long_is_an_error(self, aws: Any, processing_config: ProcessingConfig) -> None:
        with pytest.raises(
            AirflowFailException, match=r"has 64 characters, but SageMaker allows 63\. Shorten"
        ):
            run(processing(processing_config("n" * 64, WRITE)))

    def test_name_too_long_for_the_next_attempt_is_an_error(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        name = unique("full").ljust(62, "x")
        with pytest.raises(AirflowFailException, match="AlgorithmError"):
            run(processing(processing_config(name, "exit 1")))
        with pytest.raises(
            AirflowFailException,
            match=f"64 characters, .* 63. Shorten '{name}', so that the suffix of attempt 2",
        ):
            run(processing(processing_config(name, WRITE)))

    def test_rejected_request_is_raised(self, aws: Any, processing_config: ProcessingConfig) -> None:
        config = processing_config(unique("invalid"), WRITE) | {"RoleArn": "no role at all, but long enough"}
        with pytest.raises(ClientError, match="ValidationException"):
            run(processing(config))

    def test_creation_is_retried_while_the_role_propagates(
        self, aws: Any, processing_config: ProcessingConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amazon_ml.operators.sagemaker_base.PROPAGATION_PAUSE_SECONDS", 0.0)
        message = f"Could not assume role {ROLE}. Please ensure that the role exists."
        refusal = ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Create")
        operator = processing(processing_config(unique("early"), WRITE))
        client, refusals = operator.hook.conn, [refusal, refusal]
        create = client.create_processing_job

        def create_later(**request: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return create(**request)

        monkeypatch.setattr(client, "create_processing_job", create_later)
        assert run(operator)["status"] == "Completed"

    @both_ways
    def test_missing_job_may_be_retried(
        self, aws: Any, processing_config: ProcessingConfig, deferrable: bool
    ) -> None:
        operator = processing(processing_config("never", WRITE), deferrable=deferrable)
        operator.execute = lambda context: operator.wait("no-such-job")  # type: ignore[method-assign]
        with pytest.raises(AirflowException, match=r"no-such-job is gone|Could not find"):
            run(operator)


class TestStoppedJobs:
    @both_ways
    def test_stopped_job_fails_without_a_retry(
        self, aws: Any, processing_config: ProcessingConfig, deferrable: bool
    ) -> None:
        config = processing_config(name := unique("stopped"), FOREVER)
        threading.Thread(target=stop, args=(aws, name)).start()
        with pytest.raises(AirflowFailException, match=f"{name} was stopped"):
            run(processing(config, deferrable=deferrable))

    def test_allow_stopped_accepts_a_stopped_job(self, aws: Any, processing_config: ProcessingConfig) -> None:
        config = processing_config(name := unique("enough"), FOREVER)
        threading.Thread(target=stop, args=(aws, name)).start()
        result = run(processing(config, allow_stopped=True))
        assert (result["name"], result["status"]) == (name, "Stopped")

    def test_cleared_task_starts_the_next_attempt(
        self, aws: Any, processing_config: ProcessingConfig, eventually: Eventually
    ) -> None:
        name = unique("cleared")
        aws.client("sagemaker").create_processing_job(**processing_config(name, FOREVER))
        stop(aws, name)
        eventually(lambda: processing_status(aws, name) == "Stopped")
        assert run(processing(processing_config(name, WRITE)))["name"] == f"{name}-2"

    @both_ways
    def test_cleared_task_waits_for_the_end_of_a_stopping_job(
        self,
        aws: Any,
        processing_config: ProcessingConfig,
        deferrable: bool,
        tmp_path: Path,
        eventually: Eventually,
    ) -> None:
        name, sagemaker, gate = unique("stopping"), aws.client("sagemaker"), tmp_path / "gate"
        sagemaker.create_processing_job(
            **processing_config(name, f"trap '' TERM; touch {tmp_path}/begun; {until(gate)}")
        )
        eventually((tmp_path / "begun").exists)
        stop(aws, name)
        operator = processing(processing_config(name, WRITE), deferrable=deferrable)
        open_after_a_look(operator, gate, "Stopping")
        result = run(operator)
        assert gate.exists()
        assert result["name"] == f"{name}-2"
        first = sagemaker.describe_processing_job(ProcessingJobName=name)
        assert first["ProcessingEndTime"] <= datetime.fromisoformat(result["started"])


def deferral(method: Callable[..., Any], *arguments: Any) -> TaskDeferred:
    """Run a method of a task until it defers."""
    with pytest.raises(TaskDeferred) as deferred:
        method(*arguments)
    return deferred.value


class Described:
    """SageMaker with one job in this state and with these tags."""

    def __init__(self, status: str, *tags: dict[str, str]) -> None:
        self.status, self.tags_, self.conn = status, list(tags), self
        self.stopped: list[str] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> dict[str, Any]:
            if operation.startswith("stop"):
                self.stopped.append(operation)
            if operation == "add_tags":
                assert not self.stopped
                self.tags_ = arguments["Tags"]
            (kind,) = {key for key in arguments if key.endswith("JobName")} or {"Name"}
            kind = kind.removesuffix("Name")
            return {f"{kind}Status": self.status, f"{kind}Arn": "arn:job", "Tags": self.tags_}

        return call


MARK = {"Key": "stopped-by", "Value": "airflow"}
every_kind = pytest.mark.parametrize(
    "kind",
    [
        SageMakerResumableTrainingOperator,
        SageMakerResumableProcessingOperator,
        SageMakerResumableTuningOperator,
    ],
)


class TestClear:
    """The trigger of the old try stops the job before, while or after the new try describes it."""

    def both(self, config: dict[str, Any]) -> tuple[TaskDeferred, Any, TaskDeferred]:
        """Let a try wait for the job, then the next try, which adopts it."""
        old = deferral(processing(config, deferrable=True).execute, Context())
        new = processing(config, deferrable=True)
        return old, new, deferral(new.execute, Context())

    def test_job_stopped_after_its_adoption_is_followed_by_another_attempt(
        self, aws: Any, processing_config: ProcessingConfig, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        config = processing_config(name := unique("late"), f"{until(gate)}; {WRITE}")
        old, new, wait = self.both(config)
        asyncio.run(old.trigger.on_kill())  # type: ignore[attr-defined]
        event = asyncio.run(wait.trigger.wait())  # type: ignore[attr-defined]
        assert event == {"status": "Stopped", "name": name}
        again = deferral(new.execute_complete, Context(), event)
        gate.touch()
        event = asyncio.run(again.trigger.wait())  # type: ignore[attr-defined]
        assert new.execute_complete(Context(), event)["name"] == f"{name}-2"

    def test_job_stopping_during_its_adoption_is_followed_by_another_attempt(
        self, aws: Any, processing_config: ProcessingConfig, tmp_path: Path, eventually: Eventually
    ) -> None:
        gate = tmp_path / "gate"
        command = f"trap '' TERM; touch {tmp_path}/begun; {until(gate)}"
        config = processing_config(name := unique("during"), command)
        old = deferral(processing(config, deferrable=True).execute, Context())
        eventually((tmp_path / "begun").exists)
        asyncio.run(old.trigger.on_kill())  # type: ignore[attr-defined]
        operator = processing(config, deferrable=True)
        open_after_a_look(operator, gate, "Stopping")
        assert run(operator)["name"] == f"{name}-2"

    def test_job_stopped_before_the_next_try_is_followed_by_another_attempt(
        self, aws: Any, processing_config: ProcessingConfig, tmp_path: Path, eventually: Eventually
    ) -> None:
        gate = tmp_path / "gate"
        config = processing_config(name := unique("before"), f"{until(gate)}; {WRITE}")
        old = deferral(processing(config, deferrable=True).execute, Context())
        asyncio.run(old.trigger.on_kill())  # type: ignore[attr-defined]
        eventually(lambda: processing_status(aws, name) == "Stopped")
        gate.touch()
        assert run(processing(config, deferrable=True))["name"] == f"{name}-2"

    def test_adopted_job_stopped_by_a_user_fails_the_task(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        _, new, wait = self.both(processing_config(name := unique("person"), FOREVER))
        stop(aws, name)
        event = asyncio.run(wait.trigger.wait())  # type: ignore[attr-defined]
        with pytest.raises(AirflowFailException, match=f"{name} was stopped"):
            new.execute_complete(Context(), event)

    @every_kind
    @pytest.mark.parametrize("allow_stopped", [False, True])
    def test_result_of_a_tagged_job_is_not_used(self, kind: Any, allow_stopped: bool) -> None:
        operator = kind(task_id="job", config={}, allow_stopped=allow_stopped)
        operator.hook = Described("Stopped", MARK)
        operator.begin = lambda context: "another attempt"
        assert operator.execute_complete({}, {"status": "Stopped", "name": "birds"}) == "another attempt"

    @every_kind
    def test_worker_tags_the_job_before_it_stops_it(self, kind: Any) -> None:
        operator = kind(task_id="job", config={})
        operator.name, operator.hook = "birds", Described("InProgress", {"Key": "project", "Value": "x"})
        operator.on_kill()
        assert operator.hook.tags_ == [{"Key": "project", "Value": "x"}, MARK]
        assert operator.hook.stopped == [kind.stop_method]


class TestKilling:
    @both_ways
    def test_job_is_stopped(
        self, aws: Any, processing_config: ProcessingConfig, eventually: Eventually, deferrable: bool
    ) -> None:
        config = processing_config(name := unique("killed"), FOREVER)
        operator = processing(config, deferrable=deferrable)
        if deferrable:
            with pytest.raises(TaskDeferred) as deferred:
                operator.execute(Context())
            asyncio.run(deferred.value.trigger.on_kill())
        else:
            with ThreadPoolExecutor(1) as pool:
                # The name exists before the job.
                pool.submit(lambda: eventually(lambda: processing_jobs(aws, name)) and operator.on_kill())
                with pytest.raises(AirflowFailException, match="was stopped"):
                    run(operator)
        eventually(lambda: processing_status(aws, name) == "Stopped")
        assert processing_jobs(aws, name) == [name]

    def test_ended_job_is_not_stopped(self, aws: Any, processing_config: ProcessingConfig) -> None:
        operator = processing(processing_config(name := unique("late"), WRITE))
        run(operator)
        operator.on_kill()
        assert processing_status(aws, name) == "Completed"

    def test_nothing_is_stopped_before_the_job_exists(self) -> None:
        processing({}, aws_conn_id="no-such-connection").on_kill()


class TestMaxWait:
    @both_ways
    @pytest.mark.parametrize("limit", [1, timedelta(seconds=1)], ids=["seconds", "timedelta"])
    def test_job_is_stopped_and_the_task_fails(
        self,
        aws: Any,
        processing_config: ProcessingConfig,
        eventually: Eventually,
        limit: Any,
        deferrable: bool,
    ) -> None:
        config = processing_config(name := unique("slow"), FOREVER)
        with pytest.raises(AirflowFailException, match=f"{name} has not ended within the task's time limit"):
            run(processing(config, max_wait=limit, deferrable=deferrable, poll_interval=30))
        eventually(lambda: processing_status(aws, name) == "Stopped")

    def test_max_wait_starts_with_the_job_not_with_the_retry(
        self, aws: Any, processing_config: ProcessingConfig
    ) -> None:
        config, sagemaker = processing_config(name := unique("old"), FOREVER), aws.client("sagemaker")
        sagemaker.create_processing_job(**config)
        with pytest.raises(TaskDeferred) as deferred:
            processing(config, max_wait=60, deferrable=True).execute(Context())
        created = sagemaker.describe_processing_job(ProcessingJobName=name)["CreationTime"].timestamp()
        assert deferred.value.trigger.deadline == pytest.approx(created + 60)  # type: ignore[attr-defined]
        stop(aws, name)

    def test_deferred_task_applies_the_execution_timeout(
        self, aws: Any, processing_config: ProcessingConfig, eventually: Eventually
    ) -> None:
        config = processing_config(name := unique("timeout"), FOREVER)
        operator = processing(config, deferrable=True, execution_timeout=timedelta(seconds=1))
        with pytest.raises(AirflowFailException, match="has not ended within the task's time limit"):
            run(operator)
        eventually(lambda: processing_status(aws, name) == "Stopped")

    def test_job_within_max_wait_is_not_stopped(self, aws: Any, processing_config: ProcessingConfig) -> None:
        assert (
            run(processing(processing_config(unique("fast"), WRITE), max_wait=600))["status"] == "Completed"
        )


class TestTaskLog:
    @both_ways
    def test_log_lines_and_states_of_the_job_are_logged(
        self,
        aws: Any,
        processing_config: ProcessingConfig,
        deferrable: bool,
        capsys: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # The job continues only after its first line was shown.
        gate, outputs = tmp_path / "gate", []
        read = JobLogReader.read

        async def read_and_look(*arguments: Any, **options: Any) -> None:
            await read(*arguments, **options)
            outputs.append(capsys.readouterr().out)
            if "12 birds" in outputs[-1]:
                gate.touch()

        monkeypatch.setattr(JobLogReader, "read", read_and_look)
        command = f"echo 12 birds; {until(gate)}; {WRITE}; echo 13 cats"
        config = processing_config(name := unique("lines"), command)
        run(processing(config, deferrable=deferrable))
        shown = "".join(outputs) + capsys.readouterr().out
        assert shown.count("12 birds") == shown.count("13 cats") == 1
        assert shown.index(f"{name}: InProgress") < shown.index("13 cats")
        assert f"{name}: Completed" in shown

    @both_ways
    def test_print_log_omits_the_lines(
        self, aws: Any, processing_config: ProcessingConfig, deferrable: bool, capsys: Any
    ) -> None:
        config = processing_config(name := unique("quiet"), f"echo 12 birds; {WRITE}")
        run(processing(config, deferrable=deferrable, print_log=False))
        shown = capsys.readouterr().out
        assert "12 birds" not in shown
        assert f"{name}: Completed" in shown


class TestLinks:
    @pytest.mark.usefixtures("with_console")
    def test_links_are_stored_before_the_wait(self, aws: Any, processing_config: ProcessingConfig) -> None:
        context = Context()
        config = processing_config(name := unique("linked"), WRITE)
        with pytest.raises(TaskDeferred):
            processing(config, deferrable=True).execute(context)
        where = {"region_name": "us-east-1", "aws_domain": "aws.amazon.com"}
        assert context.pushed == {
            "sagemaker_job": {**where, "job_type": "processing-jobs", "job_name": name},
            "sagemaker_job_logs": {
                **where,
                "log_group": "/aws/sagemaker/ProcessingJobs",
                "log_stream_prefix": f"{name}/",
            },
        }

    def test_no_links_without_a_console(self, aws: Any, processing_config: ProcessingConfig) -> None:
        context = Context()
        with pytest.raises(TaskDeferred):
            processing(processing_config(unique("local"), WRITE), deferrable=True).execute(context)
        assert context.pushed == {}


class Troubled:
    """SageMaker that returns these responses for a job, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.conn = self

    def describe_processing_job(self, ProcessingJobName: str) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {
            "ProcessingJobName": ProcessingJobName,
            "ProcessingJobStatus": answer,
            "ProcessingJobArn": "arn",
        }


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "Describe")


class TestErrorsOfAws:
    @pytest.fixture
    def waiting(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SageMakerResumableProcessingOperator]:
        def waiting(*answers: Any) -> SageMakerResumableProcessingOperator:
            operator = processing({}, poll_interval=0.01, print_log=False)
            operator.hook = Troubled(*answers)  # type: ignore[misc, assignment]
            connect_triggers(monkeypatch, operator.hook.conn)
            return operator

        return waiting

    def test_transient_errors_are_retried(self, waiting: Any) -> None:
        lost = ConnectionClosedError(endpoint_url="https://aws")
        operator = waiting("InProgress", throttled(), lost, "InProgress", throttled(), "Completed")
        assert operator.wait("birds")["status"] == "Completed"

    def test_lasting_error_is_raised(self, waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amazon_ml.transient_errors.LIMIT_SECONDS", 0.05)
        with pytest.raises(AirflowException, match="Rate exceeded"):
            waiting("InProgress", throttled()).wait("birds")

    def test_permanent_error_is_raised_immediately(self, waiting: Any) -> None:
        denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Describe")
        with pytest.raises(AirflowException, match="AccessDenied"):
            waiting("InProgress", denied).wait("birds")


SCRIPT = """
import argparse, os, time
parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
parser.add_argument("--seconds", type=float, default=0)
arguments = parser.parse_args()
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write("model")
print(f"loss={arguments.learning_rate:.6f}", flush=True)
time.sleep(arguments.seconds)
"""


@pytest.fixture(scope="module")
def source_uri(local_aws: Any) -> str:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("train.py")
        member.size = len(SCRIPT)
        archive.addfile(member, io.BytesIO(SCRIPT.encode()))
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="operators")
    s3.put_object(Bucket="operators", Key="sourcedir.tar.gz", Body=file.getvalue())
    return "s3://operators/sourcedir.tar.gz"


def training_definition() -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "pytorch-training",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://operators/training"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
    }


def script_mode(source_uri: str) -> dict[str, str]:
    return {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": f'"{source_uri}"'}


class TestSageMakerResumableTrainingOperator:
    def config(self, source_uri: str, **hyperparameters: str) -> dict[str, Any]:
        return {
            "TrainingJobName": unique("train"),
            **training_definition(),
            "HyperParameters": {**script_mode(source_uri), **hyperparameters},
            "Environment": WITHOUT_TORCH,
        }

    def operator(self, config: dict[str, Any], **kwargs: Any) -> SageMakerResumableTrainingOperator:
        arguments: dict[str, Any] = {"deferrable": False, "poll_interval": 0.2}
        return SageMakerResumableTrainingOperator(task_id="train", config=config, **(arguments | kwargs))

    def test_template_fields(self) -> None:
        assert "config" in SageMakerResumableTrainingOperator.template_fields

    def test_model_is_trained_once(self, aws: Any, source_uri: str, capsys: Any) -> None:
        operator = self.operator(self.config(source_uri, learning_rate="0.25"))
        name = operator.config["TrainingJobName"]
        result = run(operator)
        assert result["artifact"] == f"s3://operators/training/{name}/output/model.tar.gz"
        assert result["metrics"] == {"loss": 0.25}
        assert result["training_seconds"] >= result["billable_seconds"] >= 0
        assert (result["name"], result["status"]) == (name, "Completed")
        assert result["arn"].endswith(f":training-job/{name}")
        assert result["started"] < result["ended"]
        assert run(operator) == result
        assert "loss=0.25" in capsys.readouterr().out

    def test_retry_adopts_the_running_job(self, aws: Any, source_uri: str) -> None:
        config, sagemaker = self.config(source_uri, seconds="1"), aws.client("sagemaker")
        name = config["TrainingJobName"]
        sagemaker.create_training_job(**config)
        assert run(self.operator(config, deferrable=True))["name"] == name
        (job,) = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
        assert job["TrainingJobName"] == name

    def test_deleted_model_is_trained_again(self, aws: Any, source_uri: str) -> None:
        config = self.config(source_uri)
        name = config["TrainingJobName"]
        run(self.operator(config))
        aws.client("s3").delete_object(Bucket="operators", Key=f"training/{name}/output/model.tar.gz")
        assert run(self.operator(config))["name"] == f"{name}-2"

    @pytest.mark.parametrize(
        ("allow_stopped", "secondary_status", "is_used"),
        [
            pytest.param(True, "MaxRuntimeExceeded", True, id="time limit exceeded"),
            pytest.param(True, "Stopped", False, id="stopped by a user"),
            pytest.param(False, "MaxRuntimeExceeded", False, id="a stop is not allowed"),
        ],
    )
    def test_stopped_job_is_used_only_after_its_time_limit_and_with_allow_stopped(
        self, aws: Any, allow_stopped: bool, secondary_status: str, is_used: bool
    ) -> None:
        aws.client("s3").put_object(Bucket="operators", Key="stopped/model.tar.gz", Body=b"model")
        description = {
            "TrainingJobStatus": "Stopped",
            "SecondaryStatus": secondary_status,
            "ModelArtifacts": {"S3ModelArtifacts": "s3://operators/stopped/model.tar.gz"},
        }
        assert self.operator({}, allow_stopped=allow_stopped).is_done(description) is is_used

    def test_job_stopped_at_its_time_limit_reports_the_reason(self, aws: Any, source_uri: str) -> None:
        config = self.config(source_uri, seconds="600") | {"StoppingCondition": {"MaxRuntimeInSeconds": 1}}
        with pytest.raises(AirflowFailException, match=r"was stopped \(MaxRuntimeExceeded\)"):
            run(self.operator(config))


class TestSageMakerResumableTuningOperator:
    def config(self, source_uri: str, name: str) -> dict[str, Any]:
        return {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": {
                    "ContinuousParameterRanges": [
                        {"Name": "learning_rate", "MinValue": "0.1", "MaxValue": "0.9"}
                    ]
                },
            },
            "TrainingJobDefinition": {
                **training_definition(),
                "StaticHyperParameters": script_mode(source_uri),
                "Environment": WITHOUT_TORCH,
            },
        }

    def operator(self, config: dict[str, Any], **kwargs: Any) -> SageMakerResumableTuningOperator:
        arguments: dict[str, Any] = {"deferrable": False, "poll_interval": 0.2}
        return SageMakerResumableTuningOperator(task_id="tune", config=config, **(arguments | kwargs))

    def test_template_fields(self) -> None:
        assert "config" in SageMakerResumableTuningOperator.template_fields

    def test_result_has_the_best_trial_and_all_others(self, aws: Any, source_uri: str, capsys: Any) -> None:
        operator = self.operator(self.config(source_uri, unique("tune")))
        result = run(operator)
        assert len(result["trials"]) == 2
        best = min(result["trials"], key=lambda trial: trial["objective"])
        assert (result["best_job"], result["objective"]) == (best["name"], best["objective"])
        assert result["hyperparameters"] == best["hyperparameters"]
        assert result["started"] < result["ended"]
        assert result["billable_seconds"] >= 0
        shown = capsys.readouterr().out
        assert all(f"loss={trial['objective']:.6f}" in shown for trial in result["trials"])
        assert "2 Completed" in shown
        assert run(operator) == result

    def test_retry_adopts_the_running_job_and_its_trials(self, aws: Any, source_uri: str) -> None:
        config, sagemaker = self.config(source_uri, name := unique("adopt")), aws.client("sagemaker")
        sagemaker.create_hyper_parameter_tuning_job(**config)
        assert run(self.operator(config, deferrable=True))["name"] == name
        (job,) = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name)[
            "HyperParameterTuningJobSummaries"
        ]
        assert job["HyperParameterTuningJobName"] == name
        assert len(sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]) == 2

    def test_name_that_is_too_long_is_an_error(self, aws: Any, source_uri: str) -> None:
        with pytest.raises(
            AirflowFailException, match=r"has 33 characters, but SageMaker allows 32\. Shorten"
        ):
            run(self.operator(self.config(source_uri, "n" * 33)))

    def test_job_without_an_objective_has_no_best_trial(self, aws: Any) -> None:
        with pytest.raises(AirflowFailException, match="no trial reported its objective"):
            self.operator({}).result({"HyperParameterTuningJobName": "birds"})
