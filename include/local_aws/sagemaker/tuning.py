"""Hyperparameter tuning jobs: start training jobs with chosen hyperparameters, and find the best one."""

import threading
import time
import uuid
from typing import Any

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import Handler, page
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import listing, training_requests, tuning_strategies, validation
from include.local_aws.sagemaker.documents import (
    ACTIVE,
    TRAINING_JOB,
    TUNING_JOB,
    Document,
    Documents,
)
from include.local_aws.sagemaker.early_stopping import falls_behind
from include.local_aws.sagemaker.training import TrainingJobs

_POLL_SECONDS = 0.2


class TuningJobs:
    """All tuning jobs of this server."""

    def __init__(
        self, config: Config, children: ChildProcesses, documents: Documents, training: TrainingJobs
    ) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._training = training
        self._lock = threading.Lock()
        self.operations: dict[str, Handler] = {
            "CreateHyperParameterTuningJob": self._create,
            "DescribeHyperParameterTuningJob": self._describe,
            "StopHyperParameterTuningJob": self._stop,
            "ListTrainingJobsForHyperParameterTuningJob": self._list_training_jobs,
        }

    def _create(self, request: Document) -> Document:
        _check_supported(request)
        training_requests.check_input(self._config, request["TrainingJobDefinition"])
        search = tuning_strategies.Search(request["HyperParameterTuningJobConfig"])
        job = self._documents.create(
            TUNING_JOB,
            _with_objective(request),
            HyperParameterTuningJobStatus="InProgress",
            Strategy=request["HyperParameterTuningJobConfig"]["Strategy"],
            ResourceLimits=request["HyperParameterTuningJobConfig"]["ResourceLimits"],
        )
        self._refresh(job)
        threading.Thread(target=self._live, args=(job, search), daemon=True).start()
        return {"HyperParameterTuningJobArn": job["HyperParameterTuningJobArn"]}

    def _describe(self, request: Document) -> Document:
        job = self._documents.get(TUNING_JOB, request["HyperParameterTuningJobName"])
        if job["HyperParameterTuningJobStatus"] in ACTIVE:
            self._refresh(job)
        return validation.answer("DescribeHyperParameterTuningJob", job)

    def _stop(self, request: Document) -> Document:
        with self._lock:
            self._documents.mark_stopping(TUNING_JOB, request["HyperParameterTuningJobName"])
        return {}

    def _list_training_jobs(self, request: Document) -> Document:
        job = self._documents.get(TUNING_JOB, request["HyperParameterTuningJobName"])
        summaries = [
            summary
            for summary in self._summaries(job)
            if request.get("StatusEquals") in (None, summary["TrainingJobStatus"])
        ]
        sort_by: str = request.get("SortBy", "Name")
        if sort_by == "FinalObjectiveMetricValue":
            # Jobs without a value are listed only by the other orders, as in SageMaker.
            summaries = sorted((s for s in summaries if _OBJECTIVE in s), key=_value)
        else:
            member = {"Name": "TrainingJobName", "Status": "TrainingJobStatus"}.get(sort_by, sort_by)
            summaries.sort(key=lambda summary: summary[member])
        if request.get("SortOrder") == "Descending":
            summaries.reverse()
        return page("TrainingJobSummaries", summaries, request, listing.PAGE)

    def _live(self, job: Document, search: tuning_strategies.Search) -> None:
        """Start training jobs until there are enough or a stop is requested, and wait for the last one."""
        config = job["HyperParameterTuningJobConfig"]
        parallel = config["ResourceLimits"]["MaxParallelTrainingJobs"]
        running: dict[str, int] = {}
        started = 0
        while not self._children.closed:
            stopping = job["HyperParameterTuningJobStatus"] == "Stopping"
            self._tell_ended(job, search, running)
            if stopping:
                self._stop_all(self._active(job))
            elif started < search.jobs and len(running) < parallel:
                started += 1
                number, tuned = search.ask()
                try:
                    running[self._start_child(job, started, tuned)] = number
                except AwsError as error:
                    self._end(job, f"ClientError: {error.message}")
                    return
                continue
            elif config.get("TrainingJobEarlyStoppingType") == "Auto":
                self._stop_all(self._falling_behind(job))
            if not running and (stopping or started >= search.jobs):
                self._end(job)
                return
            time.sleep(_POLL_SECONDS)

    def _tell_ended(self, job: Document, search: tuning_strategies.Search, running: dict[str, int]) -> None:
        """Report the results of ended training jobs to the search, and remove them from those running."""
        objectives = {
            summary["TrainingJobName"]: summary.get(_OBJECTIVE, {}).get("Value")
            for summary in self._summaries(job)
            if summary["TrainingJobStatus"] not in ACTIVE
        }
        for name in [name for name in running if name in objectives]:
            search.tell(running.pop(name), objectives[name])

    def _active(self, job: Document) -> list[Document]:
        return [child for child in self._children_of(job) if child["TrainingJobStatus"] in ACTIVE]

    def _falling_behind(self, job: Document) -> list[Document]:
        """Return the training jobs that early stopping would stop."""
        objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]

        def values(child: Document) -> list[float]:
            return self._training.metric_values(child["TrainingJobName"], objective["MetricName"])

        completed = [
            values(child) for child in self._children_of(job) if child["TrainingJobStatus"] == "Completed"
        ]
        return [
            child for child in self._active(job) if falls_behind(values(child), completed, objective["Type"])
        ]

    def _start_child(self, job: Document, number: int, tuned: dict[str, str]) -> str:
        """Start a training job, and return its name."""
        definition = job["TrainingJobDefinition"]
        members = validation.operation_model("CreateTrainingJob").input_shape.members
        request = {name: value for name, value in definition.items() if name in members}
        name = f"{job['HyperParameterTuningJobName']}-{number:03d}-{uuid.uuid4().hex[:8]}"
        self._training.create(
            {
                **request,
                "TrainingJobName": name,
                "HyperParameters": {**definition["StaticHyperParameters"], **tuned},
                "Tags": [dict(tag) for tag in job.get("Tags", [])],
            },
            TuningJobArn=job["HyperParameterTuningJobArn"],
            TunedHyperParameters=tuned,
        )
        return name

    def _stop_all(self, children: list[Document]) -> None:
        for child in children:
            if child["TrainingJobStatus"] == "InProgress":
                try:
                    self._training.stop({"TrainingJobName": child["TrainingJobName"]})
                except AwsError:
                    continue  # it has ended by itself

    def _end(self, job: Document, failure: str | None = None) -> None:
        self._refresh(job)
        with self._lock:
            if job["HyperParameterTuningJobStatus"] == "Stopping":
                status = "Stopped"
            elif "BestTrainingJob" in job and failure is None:
                status = "Completed"
            else:
                status = "Failed"
                failure = failure or (
                    "No training job succeeded and gave the objective metric. For additional details, please "
                    "take a look at the failures by listing training jobs for the hyperparameter tuning job."
                )
            self._documents.update(
                job,
                HyperParameterTuningEndTime=time.time(),
                HyperParameterTuningJobStatus=status,
                FailureReason=failure,
            )

    def _children_of(self, job: Document) -> list[Document]:
        arn = job["HyperParameterTuningJobArn"]
        return [child for child in self._documents.all(TRAINING_JOB) if child.get("TuningJobArn") == arn]

    def _summaries(self, job: Document) -> list[Document]:
        objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        return [_summary(child, objective) for child in self._children_of(job)]

    def _refresh(self, job: Document) -> None:
        summaries = self._summaries(job)

        def jobs(*statuses: str) -> int:
            return sum(summary["TrainingJobStatus"] in statuses for summary in summaries)

        def objectives(status: str) -> int:
            return sum(summary["ObjectiveStatus"] == status for summary in summaries)

        live: dict[str, Any] = {
            "TrainingJobStatusCounters": {
                "Completed": jobs("Completed"),
                "InProgress": jobs(*ACTIVE),
                "RetryableError": 0,
                "NonRetryableError": jobs("Failed"),
                "Stopped": jobs("Stopped"),
            },
            "ObjectiveStatusCounters": {
                "Succeeded": objectives("Succeeded"),
                "Pending": objectives("Pending"),
                "Failed": objectives("Failed"),
            },
        }
        complete = [s for s in summaries if s["TrainingJobStatus"] == "Completed" and _OBJECTIVE in s]
        if complete:
            goal = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
            live["BestTrainingJob"] = (max if goal == "Maximize" else min)(complete, key=_value)
        self._documents.update(job, **live)


_OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"


def _value(summary: Document) -> float:
    value: float = summary[_OBJECTIVE]["Value"]
    return value


def _summary(child: Document, objective: Document) -> Document:
    metrics = {metric["MetricName"]: metric["Value"] for metric in child.get("FinalMetricDataList", [])}
    shown = (
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingJobStatus",
        "TunedHyperParameters",
        "FailureReason",
    )
    summary = {name: child[name] for name in shown if child.get(name) is not None}
    if child["TrainingJobStatus"] in ACTIVE:
        summary["ObjectiveStatus"] = "Pending"
    elif objective["MetricName"] in metrics:
        summary["ObjectiveStatus"] = "Succeeded"
        summary[_OBJECTIVE] = {
            "Type": objective["Type"],
            "MetricName": objective["MetricName"],
            "Value": metrics[objective["MetricName"]],
        }
    else:
        summary["ObjectiveStatus"] = "Failed"
    return summary


def _with_objective(request: Document) -> Document:
    """Return the request with the hyperparameter that SageMaker adds, the name of the objective."""
    definition = request["TrainingJobDefinition"]
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    static = {**definition.get("StaticHyperParameters", {}), "_tuning_objective_metric": objective}
    return {**request, "TrainingJobDefinition": {**definition, "StaticHyperParameters": static}}


def _check_supported(request: Document) -> None:
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinition" not in request or "HyperParameterTuningJobObjective" not in config:
        raise AwsError(
            "ValidationException",
            "Local AWS tunes one TrainingJobDefinition towards one HyperParameterTuningJobObjective.",
        )
    tuning_strategies.check_supported(config)
    definition = request["TrainingJobDefinition"]
    training_requests.check_supported(definition)
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    if config["HyperParameterTuningJobObjective"]["MetricName"] not in [each["Name"] for each in metrics]:
        raise AwsError(
            "ValidationException",
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            "definitions.",
        )
