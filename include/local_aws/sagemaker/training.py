"""Training jobs: the operations, and the life of a job from its request to its model archive."""

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import training_instance
from include.local_aws.sagemaker.documents import TRAINING_JOB, Document, Documents, Operation
from include.local_aws.sagemaker.job_run import JobFailed, JobRun, Outcome, ShutDown, download_input, message
from include.local_aws.sagemaker.metrics import MetricReader

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ACTIVE = ("InProgress", "Stopping")

_DEFAULT_MAX_RUNTIME_SECONDS = 86_400
_log = logging.getLogger(__name__)


class TrainingJobs:
    """All training jobs of this server."""

    def __init__(self, config: Config, children: ChildProcesses, documents: Documents) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._lock = threading.Lock()
        self._runs: dict[str, JobRun] = {}
        # The toolkit's torchrun always meets on one port, and here all hosts are one machine.
        self._rendezvous = threading.Lock()
        self.operations: dict[str, Operation] = {
            "CreateTrainingJob": self.create,
            "StopTrainingJob": self.stop,
        }

    def create(self, request: Document, **live: Any) -> Document:
        """Start a job; live fields (of a tuning job's child) are shown with it."""
        _check_supported(request)
        metrics = MetricReader(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        with self._lock:
            job = self._documents.create(
                TRAINING_JOB,
                request,
                TrainingJobStatus="InProgress",
                SecondaryStatusTransitions=[],
                ModelArtifacts={"S3ModelArtifacts": f"{_output_uri(request)}/model.tar.gz"},
                **live,
            )
            self._step(job, "Starting", "Preparing the instances for training")
            run = self._runs[job["TrainingJobName"]] = JobRun(self._config, self._children, LOG_GROUP)
        threading.Thread(target=self._live, args=(job, run, metrics), daemon=True).start()
        return {"TrainingJobArn": job["TrainingJobArn"]}

    def stop(self, request: Document) -> Document:
        """Ask a job to end; what it has written is still uploaded."""
        with self._lock:
            job = self._documents.get(TRAINING_JOB, request["TrainingJobName"])
            if job["TrainingJobStatus"] not in ACTIVE:
                raise AwsError(
                    "ValidationException",
                    "The request was rejected because the training job is in status "
                    f"{job['TrainingJobStatus']}.",
                )
            self._documents.update(job, TrainingJobStatus="Stopping")
            self._runs[job["TrainingJobName"]].stop()
        return {}

    def _live(self, job: Document, run: JobRun, metrics: MetricReader) -> None:
        folder = self._config.state_dir / "training" / job["TrainingJobName"]
        try:
            status, step, reason = self._run(job, run, metrics, folder)
        except JobFailed as failure:
            status, step, reason = "Failed", "Failed", str(failure)
        except ShutDown:
            return
        except Exception as error:
            _log.exception("Training job %s failed", job["TrainingJobName"])
            status, step, reason = "Failed", "Failed", f"InternalServerError: {error}"
        shutil.rmtree(folder, ignore_errors=True)
        now = time.time()
        job.setdefault("TrainingStartTime", now)
        seconds = max(1, math.ceil(now - job["TrainingStartTime"]))
        self._step(job, step, f"Training job {status.lower()}")
        with self._lock:
            del self._runs[job["TrainingJobName"]]
            self._documents.update(
                job,
                TrainingEndTime=now,
                TrainingTimeInSeconds=seconds,
                BillableTimeInSeconds=seconds,
                FinalMetricDataList=metrics.final(),
                FailureReason=reason,
                TrainingJobStatus=status,
            )

    def _run(
        self, job: Document, run: JobRun, metrics: MetricReader, folder: Path
    ) -> tuple[str, str, str | None]:
        """Run a job to its end; returns status, last secondary status and failure reason."""
        instances = training_instance.instances(job, folder)
        meets_on_one_port = len(instances) > 1 or training_instance.uses_torchrun(job)
        while meets_on_one_port and not self._rendezvous.acquire(timeout=0.2):
            if run.stop_requested:
                return "Stopped", "Stopped", None
        try:
            self._step(job, "Downloading", "Downloading input data")
            self._download(job, instances)
            self._step(job, "Training", "Training image download completed. Training in progress.")
            self._documents.update(job, TrainingStartTime=time.time())
            self._start(job, run, instances, metrics.read)
            outcome = run.wait(
                job["StoppingCondition"].get("MaxRuntimeInSeconds", _DEFAULT_MAX_RUNTIME_SECONDS)
            )
        finally:
            if meets_on_one_port:
                self._rendezvous.release()
        if outcome is not Outcome.ENDED:
            self._step(job, "Stopping", "Stopping the training job")
        self._step(job, "Uploading", "Uploading generated training model")
        self._upload(job, instances)
        if outcome is Outcome.STOPPED:
            return "Stopped", "Stopped", None
        if outcome is Outcome.MAX_RUNTIME_EXCEEDED:
            return "Stopped", "MaxRuntimeExceeded", None
        if any(run.exit_codes):
            raise JobFailed(_failure_reason(run.exit_codes, instances))
        return "Completed", "Completed", None

    def _download(self, job: Document, instances: list[Path]) -> None:
        first, *others = instances
        for channel in job.get("InputDataConfig", []):
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            target = training_instance.channel_folder(first, channel["ChannelName"])
            download_input(self._config, uri, target)
            for other in others:
                # The instances only read the data, so links to one copy will do.
                shutil.copytree(
                    target,
                    training_instance.channel_folder(other, channel["ChannelName"]),
                    copy_function=_link,
                )
        if "CheckpointConfig" in job:
            for instance in instances:
                object_store.download(
                    self._config,
                    job["CheckpointConfig"]["S3Uri"],
                    training_instance.checkpoint_folder(job, instance),
                )

    def _start(
        self, job: Document, run: JobRun, instances: list[Path], on_line: Callable[[str], None]
    ) -> None:
        started = int(time.time())
        for number, instance in enumerate(instances, 1):
            run.start(
                [self._config.python, str(self._config.bin_dir / "train")],
                env=training_instance.environment(self._config, job, instance),
                cwd=instance,
                log_stream=f"{job['TrainingJobName']}/algo-{number}-{started}",
                on_line=on_line,
            )

    def _upload(self, job: Document, instances: list[Path]) -> None:
        if "CheckpointConfig" in job:
            for instance in reversed(instances):  # on a clash the first instance has the last word
                object_store.upload(
                    self._config,
                    training_instance.checkpoint_folder(job, instance),
                    job["CheckpointConfig"]["S3Uri"],
                )
        for folder, archive in (("output/data", "output.tar.gz"), ("model", "model.tar.gz")):
            written = instances[0] / folder
            if any(written.iterdir()):
                object_store.upload_archive(self._config, written, f"{_output_uri(job)}/{archive}")

    def _step(self, job: Document, status: str, text: str) -> None:
        now = time.time()
        *past, last = [dict(step) for step in job["SecondaryStatusTransitions"]] or [{}]
        ended = [*past, {**last, "EndTime": now}] if last else []
        step = {"Status": status, "StartTime": now, "StatusMessage": text}
        self._documents.update(job, SecondaryStatus=status, SecondaryStatusTransitions=[*ended, step])


def _output_uri(job: Document) -> str:
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output"


def _failure_reason(exit_codes: list[int], instances: list[Path]) -> str:
    code = next(code for code in exit_codes if code)
    texts = [text for text in (message(instance / "output" / "failure") for instance in instances) if text]
    return f"AlgorithmError: {texts[0] if texts else 'See the job logs'}, exit code: {code}"


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _check_supported(request: Document) -> None:
    specification = request["AlgorithmSpecification"]
    if "ContainerEntrypoint" in specification:
        raise AwsError(
            "ValidationException",
            "Local AWS trains in script mode only: leave out AlgorithmSpecification.ContainerEntrypoint and "
            "give the hyperparameters sagemaker_program and sagemaker_submit_directory.",
        )
    if specification["TrainingInputMode"] == "Pipe":
        raise AwsError("ValidationException", "Local AWS has no input mode Pipe; use File or FastFile.")
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if (
            source.get("S3DataType") != "S3Prefix"
            or source.get("S3DataDistributionType", "FullyReplicated") != "FullyReplicated"
        ):
            raise AwsError(
                "ValidationException",
                f"Channel {channel['ChannelName']}: local AWS reads S3DataSource of type S3Prefix, "
                "FullyReplicated, only.",
            )
