"""Run SageMaker training, tuning and processing jobs so that every task can be retried."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypedDict

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.differences import differences
from amazon_ml.job_request import coerce_types
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.sagemaker import SageMakerJobLink, SageMakerJobLogsLink
from amazon_ml.operators.sagemaker_base import (
    ROLE_NOT_PROPAGATED,
    SageMakerBaseWaitingOperator,
    call_until_propagated,
)
from amazon_ml.stop_mark import arn_key, is_marked, marked
from amazon_ml.triggers.sagemaker import StatusEvent
from include.aws.documents import AwsAnswer

if TYPE_CHECKING:
    from airflow.sdk import Context

# A job that was stopped by its time limit, not by a user: it has done all the work that it was given.
TIME_LIMITS = ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")


class JobTimes(TypedDict):
    """When a job ran."""

    billable_seconds: float | None
    """Of one instance."""
    started: str | None
    """ISO; likewise ``ended``."""
    ended: str | None


class TrainingResult(JobTimes):
    """The result of a training."""

    artifact: str | None
    """The S3 URI of the model."""
    metrics: dict[str, float]
    """The last value of each."""
    training_seconds: float | None


class ProcessingResult(JobTimes):
    """The result of a processing job."""

    output: str | None
    """The S3 URI of its first output."""


class TrialResult(TypedDict):
    """One training job of a tuning job."""

    name: str
    hyperparameters: dict[str, str]
    objective: float | None
    status: str


class TuningResult(JobTimes):
    """The result of a tuning job: the best trial, and all trials."""

    best_job: str
    hyperparameters: dict[str, str]
    objective: float | None
    trials: list[TrialResult]


class SageMakerBaseJobOperator(SageMakerBaseWaitingOperator):
    """
    Run a job with a fixed name exactly once.

    If a job of that name is running, the operator waits for it. If it is completed, and its result still exists, its
    result is used. If it failed or was stopped, the next attempt runs under the name with a number appended. If it has
    a different request, the task fails. If the script of the job failed, or the job was stopped, the task fails without
    a retry. If the task is killed, the job is tagged and stopped. A try that is waiting for it then starts another
    attempt.

    :param config: The parameters of boto3's create method (templated).
    :param max_wait: The maximum duration of the job from its creation, a timedelta or seconds. After that, the job is
        stopped and the task fails. None applies only the job's own ``StoppingCondition``.
    :param allow_stopped: Treat a stopped job as a success; its result has the status ``Stopped``.
    :param print_log: Copy the job's log to the task's log.
    """

    operator_extra_links = (SageMakerJobLink(), SageMakerJobLogsLink())

    create_method: str
    pending_states = ("InProgress", "Stopping")
    name_limit: ClassVar[int] = 63
    log_group: ClassVar[str] = "/aws/sagemaker/TrainingJobs"
    log_separator: ClassVar[str] = "/"  # between a job's name and the rest of a log stream's name
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
        self.config = coerce_types(
            self.config, client.meta.service_model.operation_model(operation).input_shape
        )
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
                self.log.info("%s is Stopping. Waiting for its end, then starting another attempt.", name)
                return self.wait(name, method_name="execute_again", context=context)
            if status in self.pending_states:
                self._adopt(description)
                self.log.info("%s is already running. Waiting for it.", name)
                self._persist_links(context, name)
                return self.wait(name, since=description["CreationTime"], context=context)
            if self.is_done(description):
                self._adopt(description)
                self.log.info("%s is already completed. Using its result.", name)
                self._persist_links(context, name)
                return self.evaluate(name)
            self.log.info("%s is %s and can't be used. Starting another attempt.", name, status)
            attempt += 1

    def execute_again(self, context: Context, event: StatusEvent) -> Any:
        """Continue when an earlier attempt that was being stopped has ended."""
        self.check_event(event)
        self.name = None
        return self.begin(context)

    def execute_complete(self, context: Context, event: StatusEvent) -> Any:
        """Evaluate the job when it has ended, or start another attempt if Airflow stopped it."""
        self.check_event(event)
        name = event["name"]
        if event["status"] == "Stopped" and not self.killed and self._is_marked(name):
            # After a Clear, the old trigger may stop the job after this try has adopted it (apache/airflow#72100).
            self.log.info("%s was stopped for a killed try. Starting another attempt.", name)
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
                self.log.info("%s does not need to be stopped: it has ended or was never created.", self.name)
                return
            arn = description[self.arn_key]
            client.add_tags(ResourceArn=arn, Tags=marked(client.list_tags(ResourceArn=arn)["Tags"]))
        except ClientError as error:
            self.log.warning("%s can't be tagged as stopped by Airflow: %s", self.name, error)
        self.stop(self.name)

    def _is_marked(self, name: str) -> bool:
        description = self.describe(name)
        return description is not None and is_marked(
            self.hook.conn.list_tags(ResourceArn=description[self.arn_key])["Tags"]
        )

    def attempt_name(self, attempt: int) -> str:
        """
        Return the name of an attempt.

        :raises AirflowFailException: If it is longer than SageMaker allows.
        """
        base = self.config[self.name_key]
        name = base if attempt == 1 else f"{base}-{attempt}"
        if len(name) > self.name_limit:
            raise AirflowFailException(
                f"{self.name_key} {name!r} has {len(name)} characters, but SageMaker allows {self.name_limit}. "
                + (
                    f"Shorten {base!r}."
                    if attempt == 1
                    else f"Shorten {base!r}, so that the suffix of attempt {attempt} fits."
                )
            )
        return name

    def _create(self, name: str) -> bool:
        """Create the job; return False if it was created by another task in the meantime."""
        self.name = name
        try:
            call_until_propagated(
                self.log,
                getattr(self.hook.conn, self.create_method),
                {**self.config, self.name_key: name},
                *ROLE_NOT_PROPAGATED,
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

    def _adopt(self, description: AwsAnswer) -> None:
        """
        Adopt an existing job, and add the requested tags to it.

        :raises AirflowFailException: If the job has a different request.
        """
        found = differences(self.config, description, name_key=self.name_key)
        if found:
            raise AirflowFailException(
                f"{description[self.name_key]} already exists with a different request: {'; '.join(found)}. "
                f"Use another {self.name_key}."
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
        """Return the log group and the prefix of the job's log streams."""
        if not self.print_log:
            return {}
        return {"log_group": self.log_group, "log_stream_prefix": f"{name}{self.log_separator}"}

    def is_done(self, description: AwsAnswer) -> bool:
        """Return whether a job that has ended can be used: no user stopped it, and its result exists."""
        status = description[self.status_key]
        at_limit = status == "Stopped" and description.get("SecondaryStatus") in TIME_LIMITS
        return (status == "Completed" or (self.allow_stopped and at_limit)) and self.result_exists(
            description
        )

    def result_exists(self, description: AwsAnswer) -> bool:
        """Return whether the result of a completed job still exists."""
        raise NotImplementedError

    def give_up(self, name: str) -> NoReturn:
        """
        Stop the job after a timeout.

        :raises AirflowFailException: Always, since a retry would cost the same and time out again.
        """
        self.stop(name)
        raise AirflowFailException(
            f"{name} has not ended within the task's time limit and is being stopped. Increase max_wait or "
            "execution_timeout, or reduce the work."
        )

    def evaluate(self, name: str) -> dict[str, object]:
        """
        Return a small result.

        :raises AirflowFailException: If the script of the job failed, or the job was stopped.
        :raises AirflowException: If the job failed for any other reason.
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
            # a user or the time limit stopped it on purpose, and a retry would incur the costs again
            raise AirflowFailException(f"{name} was stopped ({description.get('SecondaryStatus', reason)}).")
        # The script of the job failed: a retry would fail again and incur the costs again.
        kind = AirflowFailException if reason.startswith("AlgorithmError") else AirflowException
        raise kind(f"{name} is {status}: {reason}")

    def result(self, description: AwsAnswer) -> Mapping[str, object]:
        """Return the values for XCom in addition to name, ARN and status."""
        raise NotImplementedError

    def object_exists(self, uri: str) -> bool:
        """Return whether any object exists at this S3 URI or below it."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        s3 = S3Hook(**self._hook_parameters).get_conn()
        return bool(s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount"))


class SageMakerResumableTrainingOperator(SageMakerBaseJobOperator):
    """
    Run a training job exactly once, and wait for it.

    :return: ``name``, ``arn``, ``status``, ``started`` and ``ended`` (ISO), ``training_seconds`` and
        ``billable_seconds`` (of one instance; the second is smaller on spot instances), ``artifact`` (S3 URI)
        and ``metrics`` (the last value of each).
    """

    create_method, describe_method, stop_method = (
        "create_training_job",
        "describe_training_job",
        "stop_training_job",
    )
    name_key, status_key = "TrainingJobName", "TrainingJobStatus"
    console_path = "jobs"

    def result_exists(self, description: AwsAnswer) -> bool:
        """Return whether the model is still in S3."""
        artifact = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        return bool(artifact) and self.object_exists(artifact)

    def result(self, description: AwsAnswer) -> TrainingResult:
        """Return the artifact, the metrics and the times."""
        return training_result(description)


class SageMakerResumableProcessingOperator(SageMakerBaseJobOperator):
    """
    Run a processing job exactly once, and wait for it.

    :return: ``name``, ``arn``, ``status``, ``started`` and ``ended`` (ISO), ``billable_seconds`` (from start to end,
        of one instance) and ``output``: the S3 URI of its first output.
    """

    create_method, describe_method, stop_method = (
        "create_processing_job",
        "describe_processing_job",
        "stop_processing_job",
    )
    name_key, status_key = "ProcessingJobName", "ProcessingJobStatus"
    log_group = "/aws/sagemaker/ProcessingJobs"
    console_path = "processing-jobs"

    def result_exists(self, description: AwsAnswer) -> bool:
        """Return whether the output is still in S3; True for a job without outputs."""
        output = self._output(description)
        return output is None or self.object_exists(output)

    def result(self, description: AwsAnswer) -> ProcessingResult:
        """Return the output and the times."""
        started, ended = description.get("ProcessingStartTime"), description.get("ProcessingEndTime")
        return {
            "output": self._output(description),
            "billable_seconds": _seconds([(started, ended)]),
            "started": _iso(started),
            "ended": _iso(ended),
        }

    @staticmethod
    def _output(description: AwsAnswer) -> str | None:
        outputs = description.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return next((output["S3Output"]["S3Uri"] for output in outputs if "S3Output" in output), None)


class SageMakerResumableTuningOperator(SageMakerBaseJobOperator):
    """
    Run a tuning job exactly once, and wait for it.

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
    log_separator = "-"  # followed by the number of the trial
    console_path = "hyper-tuning-jobs"

    def result_exists(self, description: AwsAnswer) -> bool:
        """Return whether there is a best trial. SageMaker stores its hyperparameters, so S3 is not checked."""
        return bool(description.get("BestTrainingJob"))

    def result(self, description: AwsAnswer) -> TuningResult:
        """Return the best trial and a table of all trials."""
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


def training_result(description: AwsAnswer) -> TrainingResult:
    """Return the result of a training from its description: the artifact, the metrics and the times."""
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


def _objective(trial: AwsAnswer) -> float | None:
    value: float | None = trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
    return value


def _iso(time_: datetime | None) -> str | None:
    return time_.isoformat() if time_ else None


def _seconds(spans: Iterable[tuple[datetime | None, datetime | None]]) -> int:
    """Return the total duration of the spans that have both a start and an end."""
    return round(sum((end - start).total_seconds() for start, end in spans if start and end))
