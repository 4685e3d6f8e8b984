"""The progress of a run's jobs on local AWS: epochs, trials, images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

EPOCH = re.compile(r"epoch=(\d+) validation:accuracy=([\d.]+)")
IMAGES = re.compile(r"\d+ of \d+ images.*")
LAST_EVENTS = 20


class JobProgress:
    """Read the progress of the jobs of one project.

    :param prefix: The prefix of the names of its jobs: the project's AWS name.
    :param client: Return the boto3 client of a service.
    """

    def __init__(self, prefix: str, client: Callable[[str], Any]) -> None:
        self._prefix, self._client = prefix, client
        self._steps = {
            "features": self._features,
            "tune": self._tuning,
            "train": self._training,
        }

    def of(self, steps: Iterable[str]) -> dict[str, str]:
        """Return the progress of these steps, such as ``epoch 4 of 10``; steps without progress are omitted.

        Progress that can't be read is omitted too, since the run itself reports errors.
        """
        found = {}
        for step in steps:
            try:
                found[step] = self._steps[step]() if step in self._steps else None
            except (BotoCoreError, ClientError, OSError):
                continue
        return {step: detail for step, detail in found.items() if detail}

    def _training(self) -> str | None:
        sagemaker = self._client("sagemaker")
        name = self._newest(sagemaker.list_training_jobs, "TrainingJob", "train")
        if name is None:
            return None
        given = sagemaker.describe_training_job(TrainingJobName=name).get("HyperParameters", {})
        epochs = EPOCH.findall(self._log("/aws/sagemaker/TrainingJobs", name))
        if not epochs:
            return None
        number, accuracy = epochs[-1]
        total = f" of {given['epochs']}" if "epochs" in given else ""
        return f"epoch {number}{total}, validation accuracy {float(accuracy):.3f}"

    def _tuning(self) -> str | None:
        sagemaker = self._client("sagemaker")
        name = self._newest(sagemaker.list_hyper_parameter_tuning_jobs, "HyperParameterTuningJob", "tune")
        if name is None:
            return None
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        counts = job["TrainingJobStatusCounters"]
        total = job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
        best = job.get("BestTrainingJob", {}).get("FinalHyperParameterTuningJobObjectiveMetric")
        sentence = f"{counts['Completed'] + counts['Stopped']} of {total} trials done"
        return f"{sentence}, best {best['MetricName']} {best['Value']:.3f}" if best else sentence

    def _features(self) -> str | None:
        name = self._newest(self._client("sagemaker").list_processing_jobs, "ProcessingJob", "features")
        lines = IMAGES.findall(self._log("/aws/sagemaker/ProcessingJobs", name)) if name else []
        return lines[-1] if lines else None

    def _newest(self, list_jobs: Callable[..., Any], kind: str, step: str) -> str | None:
        found = list_jobs(
            NameContains=f"{self._prefix}-{step}-",
            StatusEquals="InProgress",
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=1,
        )[f"{kind}Summaries"]
        return found[0][f"{kind}Name"] if found else None

    def _log(self, group: str, job: str) -> str:
        logs = self._client("logs")
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
        if not streams:
            return ""
        events = logs.get_log_events(
            logGroupName=group,
            logStreamName=streams[0]["logStreamName"],
            startFromHead=False,
            limit=LAST_EVENTS,
        )["events"]
        return "\n".join(event["message"] for event in events)
