"""Hyperparameter tuning jobs: training jobs started with sampled hyperparameters, and the best of them.

Whatever the strategy, settings are sampled at random: Bayesian works, but does not learn from earlier jobs.
"""

import math
import random
import threading
import time
import uuid
from typing import Any

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import listing, validation
from include.local_aws.sagemaker.documents import (
    TRAINING_JOB,
    TUNING_JOB,
    Document,
    Documents,
    Operation,
)
from include.local_aws.sagemaker.training import ACTIVE, TrainingJobs

_POLL_SECONDS = 0.2
_LOGARITHMIC_SPAN = 1000
"""Auto scaling samples a range logarithmically when its ends differ by at least this factor."""


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
        self.operations: dict[str, Operation] = {
            "CreateHyperParameterTuningJob": self._create,
            "DescribeHyperParameterTuningJob": self._describe,
            "StopHyperParameterTuningJob": self._stop,
            "ListTrainingJobsForHyperParameterTuningJob": self._list_training_jobs,
        }

    def _create(self, request: Document) -> Document:
        _check_supported(request)
        job = self._documents.create(
            TUNING_JOB,
            request,
            HyperParameterTuningJobStatus="InProgress",
            Strategy=request["HyperParameterTuningJobConfig"]["Strategy"],
            ResourceLimits=request["HyperParameterTuningJobConfig"]["ResourceLimits"],
        )
        self._refresh(job)
        threading.Thread(target=self._live, args=(job,), daemon=True).start()
        return {"HyperParameterTuningJobArn": job["HyperParameterTuningJobArn"]}

    def _describe(self, request: Document) -> Document:
        job = self._documents.get(TUNING_JOB, request["HyperParameterTuningJobName"])
        if job["HyperParameterTuningJobStatus"] in ACTIVE:
            self._refresh(job)
        return validation.answer("DescribeHyperParameterTuningJob", job)

    def _stop(self, request: Document) -> Document:
        with self._lock:
            job = self._documents.get(TUNING_JOB, request["HyperParameterTuningJobName"])
            if job["HyperParameterTuningJobStatus"] not in ACTIVE:
                raise AwsError(
                    "ValidationException",
                    "The request was rejected because the hyperparameter tuning job is in status "
                    f"{job['HyperParameterTuningJobStatus']}.",
                )
            self._documents.update(job, HyperParameterTuningJobStatus="Stopping")
        return {}

    def _list_training_jobs(self, request: Document) -> Document:
        job = self._documents.get(TUNING_JOB, request["HyperParameterTuningJobName"])
        summaries = [
            summary
            for summary in self._summaries(job)
            if request.get("StatusEquals") in (None, summary["TrainingJobStatus"])
        ]
        sort_by = request.get("SortBy", "Name")
        if sort_by == "FinalObjectiveMetricValue":
            # Jobs without a value are listed only by the other orders, as in SageMaker.
            summaries = sorted((s for s in summaries if _OBJECTIVE in s), key=_value)
        elif sort_by == "Status":
            summaries.sort(key=lambda summary: summary["TrainingJobStatus"])
        elif sort_by == "CreationTime":
            summaries.sort(key=lambda summary: summary["CreationTime"])
        if request.get("SortOrder") == "Descending":
            summaries.reverse()
        return listing.page("TrainingJobSummaries", summaries, request)

    def _live(self, job: Document) -> None:
        """Start training jobs until there were enough or a stop was asked, and wait for the last."""
        config = job["HyperParameterTuningJobConfig"]
        limits = config["ResourceLimits"]
        wanted = limits.get("MaxNumberOfTrainingJobs", 1)
        chance = random.Random(config.get("RandomSeed"))  # noqa: S311 - sampling, repeatable by its seed
        started = 0
        while not self._children.closed:
            stopping = job["HyperParameterTuningJobStatus"] == "Stopping"
            active = [child for child in self._children_of(job) if child["TrainingJobStatus"] in ACTIVE]
            if stopping:
                self._stop_all(active)
            elif started < wanted and len(active) < limits["MaxParallelTrainingJobs"]:
                started += 1
                try:
                    self._start_child(job, started, sample(config.get("ParameterRanges", {}), chance))
                except AwsError as error:
                    self._end(job, f"ClientError: {error.message}")
                    return
                continue
            if not active and (stopping or started >= wanted):
                self._end(job)
                return
            time.sleep(_POLL_SECONDS)

    def _start_child(self, job: Document, number: int, tuned: dict[str, str]) -> None:
        definition = job["TrainingJobDefinition"]
        objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        members = validation.operation_model("CreateTrainingJob").input_shape.members
        request = {name: value for name, value in definition.items() if name in members}
        name = f"{job['HyperParameterTuningJobName']}-{number:03d}-{uuid.uuid4().hex[:8]}"
        self._training.create(
            {
                **request,
                "TrainingJobName": name,
                "HyperParameters": {
                    **definition.get("StaticHyperParameters", {}),
                    **tuned,
                    "_tuning_objective_metric": objective["MetricName"],
                },
                "Tags": [dict(tag) for tag in job.get("Tags", [])],
            },
            TuningJobArn=job["HyperParameterTuningJobArn"],
            TunedHyperParameters=tuned,
        )

    def _stop_all(self, children: list[Document]) -> None:
        for child in children:
            if child["TrainingJobStatus"] == "InProgress":
                try:
                    self._training.stop({"TrainingJobName": child["TrainingJobName"]})
                except AwsError:
                    continue  # it ended on its own meanwhile

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


def sample(ranges: Document, chance: random.Random) -> dict[str, str]:
    """Draw one value for each parameter, as the text a training job gets."""
    tuned = {}
    for parameter in ranges.get("ContinuousParameterRanges", []):
        tuned[parameter["Name"]] = repr(_draw(parameter, chance, 0.0))
    for parameter in ranges.get("IntegerParameterRanges", []):
        # Half a step at both ends gives the end values the same chance as the others.
        low, high = int(parameter["MinValue"]), int(parameter["MaxValue"])
        tuned[parameter["Name"]] = str(min(high, max(low, round(_draw(parameter, chance, 0.5)))))
    for parameter in ranges.get("CategoricalParameterRanges", []):
        tuned[parameter["Name"]] = chance.choice(parameter["Values"])
    return tuned


_OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"


def _draw(parameter: Document, chance: random.Random, margin: float) -> float:
    low, high = float(parameter["MinValue"]), float(parameter["MaxValue"])
    scaling = parameter.get("ScalingType", "Auto")
    automatic = scaling == "Auto" and low > 0 and high / low >= _LOGARITHMIC_SPAN
    if scaling == "Logarithmic" or automatic:
        return math.exp(chance.uniform(math.log(low - margin), math.log(high + margin)))
    return chance.uniform(low - margin, high + margin)


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


def _check_supported(request: Document) -> None:
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinition" not in request or "HyperParameterTuningJobObjective" not in config:
        raise AwsError(
            "ValidationException",
            "Local AWS tunes one TrainingJobDefinition towards one HyperParameterTuningJobObjective.",
        )
    ranges = config.get("ParameterRanges", {})
    for parameter in [
        *ranges.get("ContinuousParameterRanges", []),
        *ranges.get("IntegerParameterRanges", []),
    ]:
        low, high = float(parameter["MinValue"]), float(parameter["MaxValue"])
        scaling = parameter.get("ScalingType", "Auto")
        if low > high or (scaling == "Logarithmic" and low <= 0) or scaling == "ReverseLogarithmic":
            raise AwsError(
                "ValidationException",
                f"The range of {parameter['Name']}, {low} to {high}, cannot be sampled with scaling "
                f"{scaling}: it must not be empty, must be above 0 for Logarithmic, and local AWS has no "
                "ReverseLogarithmic.",
            )
