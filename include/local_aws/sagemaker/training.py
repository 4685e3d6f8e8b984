"""Training jobs: the operations, and the life of a job from its request to its model archive.

Jobs run in script mode. In AWS's PyTorch image the first process is a shell that handles no SIGTERM and passes none on
to the script, so a job that is stopped or interrupted trains on until SIGKILL, and so it does here.
"""

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.machine_lock import MachineLock
from include.local_aws.operations import Handler
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import (
    checkpoints,
    network_isolation,
    private_folder,
    training_instance,
    training_requests,
    warm_pool,
)
from include.local_aws.sagemaker.documents import TRAINING_JOB, Document, Documents
from include.local_aws.sagemaker.job_run import JobFailed, JobRun, Outcome, ShutDown, download_input, message
from include.local_aws.sagemaker.metrics import MetricReader
from include.local_aws.sagemaker.warm_pool import WarmPool, WarmPools

LOG_GROUP = "/aws/sagemaker/TrainingJobs"

SPOT_PRICE_SHARE = 0.3
"""What a second on a spot instance is billed for, in seconds on demand.

In AWS a market says that, and it saves up to 90 %; here there is none, so this stands for it. The time between an
interruption and the next attempt is not billed.
"""

_log = logging.getLogger(__name__)


class TrainingJobs:
    """All training jobs of this server."""

    def __init__(self, config: Config, children: ChildProcesses, documents: Documents) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._lock = threading.Lock()
        self._runs: dict[str, JobRun] = {}
        self._metrics: dict[str, MetricReader] = {}
        self._pools = WarmPools(config, children, documents)
        self.operations: dict[str, Handler] = {
            "CreateTrainingJob": self._create,
            "StopTrainingJob": self.stop,
            "UpdateTrainingJob": self._update,
        }

    def _create(self, request: Document) -> Document:
        training_requests.check_supported(request)
        training_requests.check_input(self._config, request)
        return self.create(request)

    def create(self, request: Document, **live: Any) -> Document:
        """Start a job of a checked request; live fields (of a tuning job's child) are shown with it.

        :raises AwsError: when the name is taken
        """
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
            run = self._runs[job["TrainingJobName"]] = JobRun(
                self._config, self._children, LOG_GROUP, receives_sigterm=False
            )
            self._metrics[job["TrainingJobName"]] = metrics
        threading.Thread(target=self._live, args=(job, run, metrics), daemon=True).start()
        return {"TrainingJobArn": job["TrainingJobArn"]}

    def stop(self, request: Document) -> Document:
        """Ask a job to end; what it has written is still uploaded."""
        with self._lock:
            job = self._documents.mark_stopping(TRAINING_JOB, request["TrainingJobName"])
            self._runs[job["TrainingJobName"]].stop()
        return {}

    def _update(self, request: Document) -> Document:
        job = self._documents.get(TRAINING_JOB, request["TrainingJobName"])
        if "ResourceConfig" in request:
            seconds = request["ResourceConfig"]["KeepAlivePeriodInSeconds"]
            training_requests.check_keep_alive(seconds)
            self._pools.update(job, seconds)
        return {"TrainingJobArn": job["TrainingJobArn"]}

    def interrupt(self, name: str) -> None:
        """Take the instances of a spot job away, as AWS does when others pay more; the job then starts again.

        :raises AwsError: when there is no such job, it is no spot job, or it is not training
        """
        with self._lock:
            job = self._documents.get(TRAINING_JOB, name)
            if not job.get("EnableManagedSpotTraining"):
                raise AwsError(
                    "ValidationException",
                    f"Training job {name} cannot be interrupted: it has no EnableManagedSpotTraining.",
                )
            if job["TrainingJobStatus"] != "InProgress" or job["SecondaryStatus"] != "Training":
                raise AwsError(
                    "ValidationException",
                    f"Training job {name} cannot be interrupted: it is {job['SecondaryStatus']}, not Training.",
                )
            self._runs[name].interrupt()

    def metric_values(self, name: str, metric: str) -> list[float]:
        """Return all values that a job has given for a metric so far, oldest first."""
        return self._metrics[name].values(metric)

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
        billable = seconds
        if job.get("EnableManagedSpotTraining"):
            billable = max(1, math.ceil(run.seconds * SPOT_PRICE_SHARE))
        self._step(job, step, f"Training job {status.lower()}")
        with self._lock:
            del self._runs[job["TrainingJobName"]]
            self._documents.update(
                job,
                TrainingEndTime=now,
                TrainingTimeInSeconds=seconds,
                BillableTimeInSeconds=billable,
                FinalMetricDataList=metrics.final(),
                FailureReason=reason,
                TrainingJobStatus=status,
            )

    def _run(
        self, job: Document, run: JobRun, metrics: MetricReader, folder: Path
    ) -> tuple[str, str, str | None]:
        """Run a job to its end; returns status, last secondary status and failure reason."""
        pool = self._pools.take(job)
        try:
            outcome = self._attempt(job, run, metrics, folder, pool)
            while outcome is Outcome.INTERRUPTED:
                self._step(job, "Interrupted", "The managed spot training instances were interrupted")
                shutil.rmtree(folder)
                run.renew()
                self._step(job, "Starting", "Preparing the instances for training")
                outcome = self._attempt(job, run, metrics, folder, pool)
        finally:
            if pool is not None:
                self._pools.give_back(pool)
        if outcome is Outcome.STOPPED:
            return "Stopped", "Stopped", None
        if outcome is Outcome.MAX_RUNTIME_EXCEEDED:
            waited = _seconds_left(job, run).wait <= 0
            return "Stopped", "MaxWaitTimeExceeded" if waited else "MaxRuntimeExceeded", None
        return "Completed", "Completed", None

    def _attempt(
        self, job: Document, run: JobRun, metrics: MetricReader, folder: Path, pool: WarmPool | None
    ) -> Outcome:
        """Run a job on fresh instances until it ends or they are taken away; upload what it has made if it ends.

        :raises JobFailed: when it fails
        """
        instances = training_instance.instances(job, folder)
        meets_on_one_port = len(instances) > 1 or training_instance.uses_torchrun(job)
        # The toolkit's torchrun always meets on one port, and here all hosts of all servers are one machine.
        rendezvous = MachineLock("port-7777")
        while meets_on_one_port and not rendezvous.acquire():
            if run.stop_requested:
                return Outcome.STOPPED
            time.sleep(0.2)
        try:
            self._step(job, "Downloading", "Downloading input data")
            self._download(job, instances)
            with checkpoints.kept_in_s3(self._config, job, instances):
                self._step(job, "Training", "Training image download completed. Training in progress.")
                if "TrainingStartTime" not in job:
                    self._documents.update(job, TrainingStartTime=time.time())
                self._start(job, run, instances, pool, metrics.read)
                outcome = run.wait(min(_seconds_left(job, run)))
        finally:
            rendezvous.release()
        if outcome is Outcome.INTERRUPTED:
            return outcome
        if outcome is not Outcome.ENDED:
            self._step(job, "Stopping", "Stopping the training job")
        self._step(job, "Uploading", "Uploading generated training model")
        self._upload(job, instances)
        if outcome is Outcome.ENDED and any(run.exit_codes):
            raise JobFailed(_failure_reason(run.exit_codes, instances))
        return outcome

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

    def _start(
        self,
        job: Document,
        run: JobRun,
        instances: list[Path],
        pool: WarmPool | None,
        on_line: Callable[[str], None],
    ) -> None:
        started = int(time.time())
        script = str(self._config.bin_dir / "train")
        first: int | None = None
        for number, instance in enumerate(instances, 1):
            command = [self._config.python, script] if pool is None else pool.command(script)
            if pool is None:
                command = training_requests.entrypoint(job) or command
                command = private_folder.private(self._config, command, instance)
            if pool is None and job.get("EnableNetworkIsolation"):
                command = network_isolation.isolated(self._config, command, first)
            process = run.start(
                command,
                env=training_instance.environment(self._config, job, instance),
                cwd=instance,
                log_stream=f"{job['TrainingJobName']}/algo-{number}-{started}",
                on_line=on_line,
                notes=_notes(job, pool),
            )
            first = first or process.pid

    def _upload(self, job: Document, instances: list[Path]) -> None:
        for folder, archive in (("output/data", "output.tar.gz"), ("model", "model.tar.gz")):
            written = instances[0] / folder
            for other in instances[1:]:
                _add_files(other / folder, written)
            if any(written.iterdir()):
                object_store.upload_archive(self._config, written, f"{_output_uri(job)}/{archive}")

    def _step(self, job: Document, status: str, text: str) -> None:
        now = time.time()
        *past, last = [dict(step) for step in job["SecondaryStatusTransitions"]] or [{}]
        ended = [*past, {**last, "EndTime": now}] if last else []
        step = {"Status": status, "StartTime": now, "StatusMessage": text}
        self._documents.update(job, SecondaryStatus=status, SecondaryStatusTransitions=[*ended, step])


class _SecondsLeft(NamedTuple):
    """How much longer a job may train, and how much longer a spot job may take in all."""

    runtime: float
    wait: float


def _seconds_left(job: Document, run: JobRun) -> _SecondsLeft:
    limits = job["StoppingCondition"]
    runtime = limits.get("MaxRuntimeInSeconds", training_requests.DEFAULT_MAX_RUNTIME_SECONDS)
    wait = limits.get("MaxWaitTimeInSeconds", math.inf)
    return _SecondsLeft(runtime - run.seconds, job["CreationTime"] + wait - time.time())


def _notes(job: Document, pool: WarmPool | None) -> list[str]:
    """Return what the log says of what was asked for and cannot be done here."""
    notes = []
    if pool is not None or not private_folder.is_possible():
        notes.append(private_folder.NOT_POSSIBLE)
    if job["ResourceConfig"].get("KeepAlivePeriodInSeconds") and not warm_pool.can_be_kept(job):
        notes.append(warm_pool.NOT_KEPT)
    return notes


def _output_uri(job: Document) -> str:
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output"


def _failure_reason(exit_codes: list[int], instances: list[Path]) -> str:
    code = next(code for code in exit_codes if code)
    texts = [text for text in (message(instance / "output" / "failure") for instance in instances) if text]
    return f"AlgorithmError: {texts[0] if texts else 'See the job logs'}, exit code: {code}"


def _add_files(source: Path, target: Path) -> None:
    """Add the files of one instance to those of the first; where both have one of a name, the first's is kept."""
    for path in source.rglob("*"):
        added = target / path.relative_to(source)
        if path.is_file() and not added.exists():
            added.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, added)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
