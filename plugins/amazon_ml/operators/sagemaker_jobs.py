"""Run SageMaker's training, tuning and processing jobs so that every task can be retried."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.differences import differences
from amazon_ml.job_request import typed
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.sagemaker import SageMakerJobLink, SageMakerJobLogsLink
from amazon_ml.operators.sagemaker_base import (
    ROLE_SPREADS,
    SageMakerBaseWaitingOperator,
    call_once_known,
)
from amazon_ml.stop_mark import arn_key, is_marked, marked

if TYPE_CHECKING:
    from airflow.sdk import Context

# A job that a time limit has stopped, rather than a person: it has done all it was asked to.
TIME_LIMITS = ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")


class SageMakerBaseJobOperator(SageMakerBaseWaitingOperator):
    """
    Run a job of a name that the caller fixed, once.

    A job of that name that is running is waited for; one that is completed, and whose result still exists, is
    used; after one that failed or was stopped, the next attempt runs under the name with a number behind it. A job
    of that name that does something else is an error. A job whose own script failed, or that was stopped, fails the
    task without a retry. Where the task is killed, the job is marked and stopped: a try that waits for it meanwhile
    starts another attempt.

    :param config: The request, as boto3's create method takes it (templated).
    :param max_wait: How long the job may take at most from its creation, a timedelta or seconds; then it is stopped
        and the task fails. None leaves that to the job's own ``StoppingCondition``.
    :param allow_stopped: Take a job that was stopped for a success; its result says ``Stopped``.
    :param print_log: Show the job's log in the task's.
    """

    operator_extra_links = (SageMakerJobLink(), SageMakerJobLogsLink())

    create_method: str
    pending_states = ("InProgress", "Stopping")
    name_limit: ClassVar[int] = 63
    log_group: ClassVar[str] = "/aws/sagemaker/TrainingJobs"
    log_separator: ClassVar[str] = "/"  # between a job's name and the rest of the names of its log streams
    console_path: ClassVar[str]

    def __init__(self, *, allow_stopped: bool = False, print_log: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.allow_stopped = allow_stopped
        self.print_log = print_log
        self.killed = False

    def begin(self, context: Context) -> Any:
        """Adopt the job or create it, and wait."""
        client = self.hook.conn
        operation = client.meta.method_to_api_mapping[self.create_method]
        self.config = typed(self.config, client.meta.service_model.operation_model(operation).input_shape)
        attempt = 1
        while True:
            name = self.attempt_name(attempt)
            description = self.describe(name)
            if description is None:
                if self._create(name):
                    self._persist_links(context, name)
                    return self.wait(name, context=context)
                continue
            status = description[self.status_key]
            if status == "Stopping":
                self.log.info("%s is Stopping: waiting for its end, then starting another attempt.", name)
                return self.wait(name, method_name="execute_again", context=context)
            if status in self.pending_states:
                self._adopt(description)
                self.log.info("%s is running already: waiting for it.", name)
                self._persist_links(context, name)
                return self.wait(name, since=description["CreationTime"], context=context)
            if self.is_done(description):
                self._adopt(description)
                self.log.info("%s has been done already: its result is used.", name)
                self._persist_links(context, name)
                return self.evaluate(name)
            self.log.info("%s is %s and can't be used: starting another attempt.", name, status)
            attempt += 1

    def execute_again(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when an earlier attempt that was being stopped has ended."""
        self.check_event(event)
        self.name = None
        return self.begin(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Evaluate the job when it has ended, or start another attempt if Airflow itself stopped it."""
        self.check_event(event)
        name = event["name"]
        if event["status"] == "Stopped" and not self.killed and self._is_marked(name):
            # After a Clear, the old trigger may stop the job only when this try has adopted it (apache/airflow#72100).
            self.log.info("%s was stopped for a try that was killed: starting another attempt.", name)
            self.name = None
            return self.begin(context)
        return self.evaluate(name)

    def on_kill(self) -> None:
        """Stop the job when the task is killed while it waits."""
        if not self.name:
            return
        self.killed = True
        client = self.hook.conn
        try:
            description = self.describe(self.name)
            if description is None or description[self.status_key] not in self.pending_states:
                self.log.info("%s need not be stopped: it has ended or was never created.", self.name)
                return
            arn = description[self.arn_key]
            client.add_tags(ResourceArn=arn, Tags=marked(client.list_tags(ResourceArn=arn)["Tags"]))
        except ClientError as error:
            self.log.warning("%s can't be marked as stopped by Airflow: %s", self.name, error)
        self.stop(self.name)

    def _is_marked(self, name: str) -> bool:
        description = self.describe(name)
        return description is not None and is_marked(
            self.hook.conn.list_tags(ResourceArn=description[self.arn_key])["Tags"]
        )

    def attempt_name(self, attempt: int) -> str:
        """
        Return the name of an attempt.

        :raises AirflowFailException: if it is longer than SageMaker allows.
        """
        base = self.config[self.name_key]
        name = base if attempt == 1 else f"{base}-{attempt}"
        if len(name) > self.name_limit:
            raise AirflowFailException(
                f"{self.name_key} {name!r} has {len(name)} characters, and SageMaker allows {self.name_limit}: "
                + (
                    f"give {base!r} a shorter name."
                    if attempt == 1
                    else f"attempt {attempt} of {base!r} has no room."
                )
            )
        return name

    def _create(self, name: str) -> bool:
        """Create the job; return whether it was this task that did."""
        self.name = name
        try:
            call_once_known(
                self.log,
                getattr(self.hook.conn, self.create_method),
                {**self.config, self.name_key: name},
                *ROLE_SPREADS,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                self.name = None
                raise
            self.name = None
            self.log.info("%s was created in the meantime.", name)
            time.sleep(self.poll_interval)
            return False
        self.log.info("Created %s.", name)
        return True

    def _adopt(self, description: dict[str, Any]) -> None:
        """
        Take a job that exists for the caller's, and give it the caller's tags.

        :raises AirflowFailException: if it does something else.
        """
        found = differences(self.config, description, name_key=self.name_key)
        if found:
            raise AirflowFailException(
                f"{description[self.name_key]} exists, and its request is another one: {'; '.join(found)}. "
                f"Give this request a {self.name_key} of its own."
            )
        if tags := self.config.get("Tags"):
            self.hook.conn.add_tags(ResourceArn=description[self.arn_key], Tags=tags)

    def _persist_links(self, context: Context, name: str) -> None:
        persist_console_link(SageMakerJobLink, context, self, job_type=self.console_path, job_name=name)
        persist_console_link(
            SageMakerJobLogsLink,
            context,
            self,
            log_group=self.log_group,
            log_stream_prefix=f"{name}{self.log_separator}",
        )

    @property
    def arn_key(self) -> str:
        """The key of the job's ARN in its description."""
        return arn_key(self.name_key)

    def log_arguments(self, name: str) -> dict[str, str]:
        """Say which log streams are the job's."""
        if not self.print_log:
            return {}
        return {"log_group": self.log_group, "log_stream_prefix": f"{name}{self.log_separator}"}

    def is_done(self, description: dict[str, Any]) -> bool:
        """Whether a job that has ended can be used: it was not stopped by a person, and its result is there."""
        status = description[self.status_key]
        at_limit = status == "Stopped" and description.get("SecondaryStatus") in TIME_LIMITS
        return (status == "Completed" or (self.allow_stopped and at_limit)) and self.result_exists(
            description
        )

    def result_exists(self, description: dict[str, Any]) -> bool:
        """Whether a completed job's result is still there."""
        raise NotImplementedError

    def give_up(self, name: str) -> NoReturn:
        """
        Stop the job when the time is over.

        :raises AirflowFailException: always; a retry would pay for the same again.
        """
        self.stop(name)
        raise AirflowFailException(
            f"{name} has not ended within the time that the task gives it, and is being stopped."
        )

    def evaluate(self, name: str) -> dict[str, Any]:
        """
        Return a small result.

        :raises AirflowFailException: if the job's own code failed, or it was stopped.
        :raises AirflowException: if it failed for any other reason.
        """
        description = self.describe(name) or {self.status_key: "gone"}
        status = description[self.status_key]
        if status == "Completed" or (status == "Stopped" and self.allow_stopped):
            return {
                "name": name,
                "arn": description[self.arn_key],
                "status": status,
                **self.result(description),
            }
        reason = description.get("FailureReason") or description.get("ExitMessage") or "no reason given"
        if status == "Stopped":
            # somebody, or the time limit, stopped it on purpose: a retry would pay for it again
            raise AirflowFailException(f"{name} was stopped ({description.get('SecondaryStatus', reason)}).")
        # The job's own script failed: a retry would pay for the same failure again.
        kind = AirflowFailException if reason.startswith("AlgorithmError") else AirflowException
        raise kind(f"{name} is {status}: {reason}")

    def result(self, description: dict[str, Any]) -> dict[str, Any]:
        """What goes to XCom besides name, ARN and status."""
        raise NotImplementedError

    def object_exists(self, uri: str) -> bool:
        """Whether any object lies at this S3 address, or below it."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        s3 = S3Hook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        ).get_conn()
        return s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0) > 0


class SageMakerResumableTrainingOperator(SageMakerBaseJobOperator):
    """
    Run a training job once, and wait for it.

    :return: ``name``, ``arn``, ``status``, ``started`` and ``ended`` (ISO), ``training_seconds`` and
        ``billable_seconds`` (of one instance; on spot instances the second is the smaller), ``artifact`` (S3 address)
        and ``metrics`` (the last value of each).
    """

    create_method, describe_method, stop_method = (
        "create_training_job",
        "describe_training_job",
        "stop_training_job",
    )
    name_key, status_key = "TrainingJobName", "TrainingJobStatus"
    console_path = "jobs"

    def result_exists(self, description: dict[str, Any]) -> bool:
        """Whether the model is still in S3."""
        artifact = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        return bool(artifact) and self.object_exists(artifact)

    def result(self, description: dict[str, Any]) -> dict[str, Any]:
        """Name the artifact and give the metrics."""
        return training_result(description)


class SageMakerResumableProcessingOperator(SageMakerBaseJobOperator):
    """
    Run a processing job once, and wait for it.

    :return: ``name``, ``arn``, ``status``, ``started`` and ``ended`` (ISO), ``billable_seconds`` (from start to end,
        of one instance) and ``output``: the S3 address of its first output.
    """

    create_method, describe_method, stop_method = (
        "create_processing_job",
        "describe_processing_job",
        "stop_processing_job",
    )
    name_key, status_key = "ProcessingJobName", "ProcessingJobStatus"
    log_group = "/aws/sagemaker/ProcessingJobs"
    console_path = "processing-jobs"

    def result_exists(self, description: dict[str, Any]) -> bool:
        """Whether the output is still in S3; a job that puts nothing to S3 lacks nothing there."""
        output = self._output(description)
        return output is None or self.object_exists(output)

    def result(self, description: dict[str, Any]) -> dict[str, Any]:
        """Name the output."""
        started, ended = description.get("ProcessingStartTime"), description.get("ProcessingEndTime")
        return {
            "output": self._output(description),
            "billable_seconds": _seconds([(started, ended)]),
            "started": _iso(started),
            "ended": _iso(ended),
        }

    @staticmethod
    def _output(description: dict[str, Any]) -> str | None:
        outputs = description.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return next((output["S3Output"]["S3Uri"] for output in outputs if "S3Output" in output), None)


class SageMakerResumableTuningOperator(SageMakerBaseJobOperator):
    """
    Run a tuning job once, and wait for it.

    :return: ``name``, ``arn``, ``status``, ``started`` and ``ended`` (ISO), ``billable_seconds`` (from start to end of
        all trials together, of one instance each), ``best_job``, its ``hyperparameters`` and ``objective``, and
        ``trials``: name, hyperparameters, objective and status of each.
    """

    create_method, describe_method, stop_method = (
        "create_hyper_parameter_tuning_job",
        "describe_hyper_parameter_tuning_job",
        "stop_hyper_parameter_tuning_job",
    )
    name_key, status_key = "HyperParameterTuningJobName", "HyperParameterTuningJobStatus"
    name_limit = 32
    log_separator = "-"  # then the number of the trial
    console_path = "hyper-tuning-jobs"

    def result_exists(self, description: dict[str, Any]) -> bool:
        """Whether there is a best trial; its hyperparameters are in SageMaker's record, not in S3."""
        return bool(description.get("BestTrainingJob"))

    def result(self, description: dict[str, Any]) -> dict[str, Any]:
        """Give the best trial and the table of all."""
        best = description.get("BestTrainingJob")
        if not best:
            raise AirflowFailException(
                f"{description[self.name_key]} has no best training job: no trial reported its objective."
            )
        pages = self.hook.conn.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=description[self.name_key]
        )
        trials = [trial for page in pages for trial in page["TrainingJobSummaries"]]
        return {
            "best_job": best["TrainingJobName"],
            "hyperparameters": best["TunedHyperParameters"],
            "objective": _objective(best),
            "trials": [
                {
                    "name": trial["TrainingJobName"],
                    "hyperparameters": trial["TunedHyperParameters"],
                    "objective": _objective(trial),
                    "status": trial["TrainingJobStatus"],
                }
                for trial in trials
            ],
            "billable_seconds": _seconds(
                (trial.get("TrainingStartTime"), trial.get("TrainingEndTime")) for trial in trials
            ),
            "started": _iso(description.get("CreationTime")),
            "ended": _iso(description.get("HyperParameterTuningEndTime")),
        }


def training_result(description: dict[str, Any]) -> dict[str, Any]:
    """What a training came to, from its description: the artifact, the metrics and the times."""
    return {
        "artifact": description.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        "metrics": {
            metric["MetricName"]: metric["Value"] for metric in description.get("FinalMetricDataList", [])
        },
        "training_seconds": description.get("TrainingTimeInSeconds"),
        "billable_seconds": description.get("BillableTimeInSeconds"),
        "started": _iso(description.get("TrainingStartTime")),
        "ended": _iso(description.get("TrainingEndTime")),
    }


def _objective(trial: dict[str, Any]) -> float | None:
    return trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")


def _iso(time_: datetime | None) -> str | None:
    return time_.isoformat() if time_ else None


def _seconds(spans: Iterable[tuple[datetime | None, datetime | None]]) -> int:
    """Sum up the spans that have both a start and an end."""
    return round(sum((end - start).total_seconds() for start, end in spans if start and end))
