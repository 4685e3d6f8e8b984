"""Processing jobs: the operations, and the life of a job from its inputs to its outputs in S3."""

import logging
import shutil
import threading
import time
from pathlib import Path

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import Handler
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import network_isolation, private_folder
from include.local_aws.sagemaker.documents import PROCESSING_JOB, Document, Documents
from include.local_aws.sagemaker.job_run import (
    JobFailed,
    JobRun,
    Outcome,
    ShutDown,
    container_path,
    download_input,
    in_folder,
    message,
)

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"

_DEFAULT_MAX_RUNTIME_SECONDS = 86_400
_log = logging.getLogger(__name__)


class ProcessingJobs:
    """All processing jobs of this server."""

    def __init__(self, config: Config, children: ChildProcesses, documents: Documents) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._lock = threading.Lock()
        self._runs: dict[str, JobRun] = {}
        self.operations: dict[str, Handler] = {
            "CreateProcessingJob": self._create,
            "StopProcessingJob": self._stop,
        }

    def _create(self, request: Document) -> Document:
        _check_supported(request)
        with self._lock:
            job = self._documents.create(PROCESSING_JOB, request, ProcessingJobStatus="InProgress")
            run = self._runs[job["ProcessingJobName"]] = JobRun(
                self._config, self._children, LOG_GROUP, receives_sigterm=True
            )
        threading.Thread(target=self._live, args=(job, run), daemon=True).start()
        return {"ProcessingJobArn": job["ProcessingJobArn"]}

    def _stop(self, request: Document) -> Document:
        with self._lock:
            missing = "Could not find job to update with name {name}"
            job = self._documents.mark_stopping(PROCESSING_JOB, request["ProcessingJobName"], missing)
            self._runs[job["ProcessingJobName"]].stop()
        return {}

    def _live(self, job: Document, run: JobRun) -> None:
        folder = self._config.state_dir / "processing" / job["ProcessingJobName"]
        folder.mkdir(parents=True)
        try:
            status, reason = self._run(job, run, folder)
        except JobFailed as failure:
            status, reason = "Failed", str(failure)
        except ShutDown:
            return
        except Exception as error:
            _log.exception("Processing job %s failed", job["ProcessingJobName"])
            status, reason = "Failed", f"InternalServerError: {error}"
        exit_message = message(folder / "output" / "message") or None
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            del self._runs[job["ProcessingJobName"]]
            self._documents.update(
                job,
                ProcessingEndTime=time.time(),
                ExitMessage=exit_message,
                FailureReason=reason,
                ProcessingJobStatus=status,
            )

    def _run(self, job: Document, run: JobRun, folder: Path) -> tuple[str, str | None]:
        """Run a job to its end; returns status and failure reason."""
        for source in job.get("ProcessingInputs", []):
            s3_input = source["S3Input"]
            download_input(self._config, s3_input["S3Uri"], container_path(s3_input["LocalPath"], folder))
        outputs = [
            (container_path(output["S3Output"]["LocalPath"], folder), output["S3Output"]["S3Uri"])
            for output in job.get("ProcessingOutputConfig", {}).get("Outputs", [])
        ]
        for path, _ in outputs:
            path.mkdir(parents=True, exist_ok=True)
        (folder / "output").mkdir(exist_ok=True)
        self._documents.update(job, ProcessingStartTime=time.time())
        self._start(job, run, folder)
        outcome = run.wait(
            job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DEFAULT_MAX_RUNTIME_SECONDS)
        )
        if outcome is Outcome.STOPPED:
            return "Stopped", None
        if outcome is Outcome.MAX_RUNTIME_EXCEEDED:
            return "Stopped", "MaxRuntimeExceeded: the job ran longer than its StoppingCondition allows."
        if any(run.exit_codes):
            text = message(folder / "output" / "failure") or "See job logs for more information"
            raise JobFailed(f"AlgorithmError: {text}, exit code: {run.exit_codes[0]}")
        for path, uri in outputs:
            object_store.upload(self._config, path, uri)
        return "Completed", None

    def _start(self, job: Document, run: JobRun, folder: Path) -> None:
        specification = job["AppSpecification"]
        command = [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", [])]
        environment = self._config.child_environment(
            Principal.JOB, PROCESSING_JOB_ARN=job["ProcessingJobArn"]
        )
        variables = {name: in_folder(value, folder) for name, value in job.get("Environment", {}).items()}
        words = [in_folder(word, folder) for word in command]
        network = job.get("NetworkConfig", {})
        is_isolated = bool(network.get("EnableNetworkIsolation"))
        if is_isolated:
            environment = network_isolation.without_credentials(environment)
        environment |= variables
        # Found out here: with an /opt/ml of its own, another program is started first.
        if shutil.which(words[0], path=environment["PATH"]) is None:
            raise JobFailed(f"AlgorithmError: {command[0]} cannot be started: No such file or directory.")
        try:
            words = private_folder.private(self._config, words, folder)
            if is_isolated:
                words = network_isolation.isolated(self._config, words)
            run.start(
                words,
                env=environment,
                cwd=folder,
                log_stream=f"{job['ProcessingJobName']}/algo-1-{int(time.time())}",
                notes=[] if private_folder.is_possible() else [private_folder.NOT_POSSIBLE],
            )
        except OSError as error:
            raise JobFailed(f"AlgorithmError: {command[0]} cannot be started: {error.strerror}.") from error


def _check_supported(request: Document) -> None:
    network_isolation.check_possible(request.get("NetworkConfig", {}))
    if not request["AppSpecification"].get("ContainerEntrypoint"):
        raise AwsError(
            "ValidationException",
            "Local AWS runs no image: give the command in AppSpecification.ContainerEntrypoint.",
        )
    cluster = request["ProcessingResources"].get("ClusterConfig", {})
    if (
        not {"InstanceType", "InstanceCount"} <= cluster.keys()
        or "ImageUri" not in request["AppSpecification"]
    ):
        raise AwsError(
            "ValidationException",
            "A processing job needs an AppSpecification with an ImageUri, and a ClusterConfig with an InstanceType and "
            "an InstanceCount.",
        )
    if cluster["InstanceCount"] != 1:
        raise AwsError("ValidationException", "Local AWS runs a processing job on one instance only.")
    for source in request.get("ProcessingInputs", []):
        if source.get("S3Input", {}).get("S3DataType") != "S3Prefix" or "LocalPath" not in source["S3Input"]:
            raise AwsError(
                "ValidationException",
                f"Input {source['InputName']}: local AWS reads S3Input, S3Prefix, with a LocalPath only.",
            )
        container_path(source["S3Input"]["LocalPath"], Path())
    for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if "LocalPath" not in output.get("S3Output", {}):
            raise AwsError(
                "ValidationException",
                f"Output {output['OutputName']}: local AWS writes S3Output with a LocalPath only.",
            )
        container_path(output["S3Output"]["LocalPath"], Path())
