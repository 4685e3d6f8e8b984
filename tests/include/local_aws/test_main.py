"""``python -m include.local_aws``: how it starts and, above all, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from include.local_aws.sagemaker import warm_pool
from tests.environments import WITHOUT_TORCH
from tests.free_ports import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
ROLE = "arn:aws:iam::123456789012:role/sagemaker"


def _start_stubborn_job(server: Any, eventually: Callable[..., Any]) -> list[psutil.Process]:
    """Start a job that ignores SIGTERM and has a child in a session of its own; returns all processes."""
    command = "trap '' TERM; setsid sleep 300 & sleep 300"
    _start_job(server.client("sagemaker"), "stubborn", ["bash", "-c", command])

    def processes() -> list[psutil.Process]:
        children = server.children()
        sleeping = [child for child in children if child.name() == "sleep"]
        return children if len(sleeping) == 2 else []

    return eventually(processes)


def _start_job(sagemaker: Any, name: str, command: list[str]) -> None:
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=ROLE,
        AppSpecification={"ImageUri": "any", "ContainerEntrypoint": command},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
        },
    )


def _leave_warm_pool(sagemaker: Any, eventually: Callable[..., Any]) -> None:
    """Run a training job without a source: it fails, and its pool is kept all the same."""
    sagemaker.create_training_job(
        TrainingJobName="kept",
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": "pytorch", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://none/out"},
        ResourceConfig={
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 5,
            "KeepAlivePeriodInSeconds": 600,
        },
        StoppingCondition={"MaxRuntimeInSeconds": 300},
        HyperParameters={
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps("s3://none/sourcedir.tar.gz"),
        },
        Environment=WITHOUT_TORCH,
    )

    def is_available() -> bool:
        job = sagemaker.describe_training_job(TrainingJobName="kept")
        return job.get("WarmPoolStatus", {}).get("Status") == "Available"

    eventually(is_available)


def test_it_says_where_it_listens_once_it_has_removed_what_a_killed_one_left(tmp_path: Path) -> None:
    port = free_port()
    left, of_another = tmp_path / "local-aws-left", tmp_path / "local-aws-another"
    for links, of_port in ((left, port), (of_another, port + 1)):
        links.mkdir()
        (links / "state").symlink_to(tmp_path / str(of_port))
    command = [sys.executable, "-m", "include.local_aws", "--port", str(port), "--state-dir", str(tmp_path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"local AWS is ready at http://127.0.0.1:{port}\n"
            socket.create_connection(("127.0.0.1", port)).close()
            assert (left.exists(), of_another.exists()) == (False, True)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()  # else leaving the block would wait for a server that does not end


def test_a_taken_port_is_one_sentence_and_status_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "include.local_aws",
            "--port",
            str(port),
            "--state-dir",
            str(tmp_path),
        ]
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        f"Local AWS cannot listen on 127.0.0.1:{port}: another program listens there. "
        "Stop it, or choose another --port.\n"
    )


def test_the_users_own_aws_settings_are_not_used_and_an_orderly_end_leaves_nothing(
    start_local_aws: Callable[..., Any],
    eventually: Callable[..., Any],
    survivors: Callable[[list[psutil.Process]], list[psutil.Process]],
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with start_local_aws(
        AWS_PROFILE="no-such-profile",
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        HTTP_PROXY="http://127.0.0.1:1",
        TMPDIR=str(temporary),
    ) as server:
        sagemaker = server.client("sagemaker")
        code = "import boto3; boto3.client('s3').create_bucket(Bucket='made-by-a-job')"
        _start_job(sagemaker, "speaks-to-s3", ["python3", "-c", code])

        def ended() -> bool:
            job = sagemaker.describe_processing_job(ProcessingJobName="speaks-to-s3")
            return job["ProcessingJobStatus"] == "Completed"

        eventually(ended)
        buckets = server.client("s3").list_buckets()["Buckets"]
        processes = _start_stubborn_job(server, eventually)
    assert [bucket["Name"] for bucket in buckets] == ["made-by-a-job"]
    assert not survivors(processes)
    assert list(temporary.iterdir()) == []
    assert list(server.state_dir.iterdir()) == []


def test_a_killed_server_leaves_no_process(
    start_local_aws: Callable[..., Any],
    eventually: Callable[..., Any],
    survivors: Callable[[list[psutil.Process]], list[psutil.Process]],
    tmp_path: Path,
) -> None:
    with start_local_aws(TMPDIR=str(tmp_path)) as server:
        if warm_pool.can_be_kept({"ResourceConfig": {"InstanceCount": 1}}):
            _leave_warm_pool(server.client("sagemaker"), eventually)
            assert len(server.children("warm_process")) == 1
        processes = _start_stubborn_job(server, eventually)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert not survivors(processes)


def test_health_names_the_account(local_aws: Any) -> None:
    from urllib.request import urlopen

    with urlopen(f"{local_aws.url}/_local_aws/health") as answer:
        assert json.load(answer) == {"status": "ok", "account": "123456789012"}


def test_a_state_folder_that_can_not_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-m", "include.local_aws", "--port", str(port), "--state-dir", tmp_path / "file"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}/file can't be used: ")
    assert done.stderr.count("\n") == 1
