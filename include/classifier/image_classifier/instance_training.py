"""Runs train.py on an EC2 instance as SageMaker's toolkit would, and leaves in S3 what a training job leaves.

Takes the request for a training job as JSON, as its one argument. The last thing it writes is the training's record,
beside the output: what SageMaker would answer to a question for the job.
"""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .instance_storage import InstanceStorage

Job = dict[str, Any]

RECORD = "record.json"
# EC2 bills at least a minute: https://aws.amazon.com/ec2/pricing/on-demand/
SHORTEST_BILLED_SECONDS = 60
# As a shell reports a process that SIGTERM ended.
INTERRUPTED = 128 + signal.SIGTERM
LAST_LINES = 100
ERROR = re.compile(r"(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b")


@dataclass
class Output:
    """What the script has printed: its metrics, and its last lines.

    :param definitions: ``Name`` and ``Regex`` of each metric.
    """

    definitions: list[dict[str, str]]
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))

    def read(self, line: str) -> None:
        """Take a line, and the metrics in it that are finite numbers."""
        self.last.append(line)
        for definition in self.definitions:
            for match in re.finditer(definition["Regex"], line):
                try:
                    value = float(match.group(1))
                except ValueError:
                    continue
                if math.isfinite(value):
                    name = definition["Name"]
                    self.metrics[name] = {"MetricName": name, "Value": value, "Timestamp": _iso(time.time())}

    def reason(self) -> str:
        """The last line that names an error of the script's own, or else the last line."""
        lines = [line for line in self.last if line.strip()]
        # torchrun adds a traceback of its own.
        errors = [line for line in lines if ERROR.match(line) and "ChildFailedError" not in line]
        return (errors or lines or ["it printed nothing"])[-1].strip()


def main() -> int:
    """Train as the argument says; return the exit status."""
    return run(json.loads(sys.argv[1]), Path.cwd(), InstanceStorage())


def run(job: Job, base: Path, storage: InstanceStorage) -> int:
    """Run a training in a folder, and leave archives and record in S3; a training that was interrupted leaves none.

    :param job: as SageMaker's CreateTrainingJob takes it.
    :param base: stands for ``/opt/ml``.
    :return: 0, the status of a script that failed, or 143 if it was interrupted.
    """
    for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        (base / name).mkdir(parents=True, exist_ok=True)
    for channel in job["InputDataConfig"]:
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        count = storage.download(uri, base / "input" / "data" / channel["ChannelName"])
        print(f"Channel {channel['ChannelName']}: {count} objects of {uri}", flush=True)
        if not count:
            raise FileNotFoundError(f"There is no object below {uri}.")
    output = Output(job["AlgorithmSpecification"]["MetricDefinitions"])
    started = time.time()
    with storage.kept(base / "checkpoints", f"{job['CheckpointConfig']['S3Uri'].rstrip('/')}/"):
        status = _run_script(job, base, output)
    if status == INTERRUPTED:
        print("The training was interrupted; the next attempt goes on from its checkpoint.", flush=True)
        return status
    place = f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}"
    model = f"{place}/output/model.tar.gz"
    if status == 0:
        if any((base / "output" / "data").iterdir()):
            storage.upload_archive(base / "output" / "data", f"{place}/output/output.tar.gz")
        storage.upload_archive(base / "model", model)
        outcome: Job = {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}
    else:
        reason = f"AlgorithmError: {output.reason()}, exit code: {status}"
        outcome = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": reason}
    storage.put_json(
        {**job, "ModelArtifacts": {"S3ModelArtifacts": model}, **outcome, **_measured(started, output)},
        f"{place}/{RECORD}",
    )
    return status


def _run_script(job: Job, base: Path, output: Output) -> int:
    code = Path(__file__).resolve().parents[1]
    gpus = _gpus()
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}"] if gpus > 1 else []
    process = subprocess.Popen(
        [sys.executable, *launcher, str(code / "train.py"), *_arguments(job["HyperParameters"])],
        env=os.environ | job.get("Environment", {}) | _environment(job, base, gpus),
        cwd=code,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    interrupted = False

    def interrupt(number: int, frame: Any) -> None:
        # train.py saves its checkpoint, which is sent when it has ended.
        nonlocal interrupted
        interrupted = True
        process.terminate()

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            output.read(line.rstrip("\n"))
        status = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    # An instance that is being shut down may tell the script before it tells this.
    if interrupted or status in (INTERRUPTED, -signal.SIGTERM):
        return INTERRUPTED
    return status if status >= 0 else 128 - status


def _arguments(hyperparameters: dict[str, str]) -> list[str]:
    """Those for the script, as SageMaker's toolkit passes them: without those for the toolkit."""
    arguments = []
    for name, text in sorted(hyperparameters.items()):
        if not name.startswith("sagemaker_"):
            try:
                value = json.loads(text)
            except ValueError:
                value = text
            arguments += [f"--{name}", str(value)]
    return arguments


def _environment(job: Job, base: Path, gpus: int) -> dict[str, str]:
    """What SageMaker's toolkit sets, as far as a training on one instance can need it."""
    data = base / "input" / "data"
    channels = [channel["ChannelName"] for channel in job["InputDataConfig"]]
    return {
        "PYTHONUNBUFFERED": "1",
        "SAGEMAKER_BASE_DIR": str(base),
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_NUM_GPUS": str(gpus),
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_MODEL_DIR": str(base / "model"),
        "SM_INPUT_DIR": str(base / "input"),
        "SM_INPUT_CONFIG_DIR": str(base / "input" / "config"),
        "SM_OUTPUT_DIR": str(base / "output"),
        "SM_OUTPUT_DATA_DIR": str(base / "output" / "data"),
        "SM_CHANNELS": json.dumps(channels),
        **{f"SM_CHANNEL_{name.upper()}": str(data / name) for name in channels},
    }


def _gpus() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _measured(started: float, output: Output) -> Job:
    """Times, and metrics; the instance is billed from its launch, not from when the training began."""
    ended = time.time()
    launched = datetime.fromisoformat(os.environ["INSTANCE_LAUNCH_TIME"]).timestamp()
    return {
        "InstanceId": os.environ["INSTANCE_ID"],
        "CreationTime": _iso(launched),
        "TrainingStartTime": _iso(started),
        "TrainingEndTime": _iso(ended),
        "TrainingTimeInSeconds": max(1, math.ceil(ended - started)),
        "BillableTimeInSeconds": max(SHORTEST_BILLED_SECONDS, math.ceil(ended - launched)),
        "FinalMetricDataList": list(output.metrics.values()),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
