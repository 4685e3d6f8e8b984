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

REPOSITORY = Path(__file__).resolve().parents[3]
ROLE = "arn:aws:iam::123456789012:role/sagemaker"


def _start_stubborn_job(server: Any, eventually: Callable[..., Any]) -> list[psutil.Process]:
    """Start a job that ignores SIGTERM and has a child in a session of its own; returns all processes."""
    command = "trap '' TERM; setsid sleep 300 & sleep 300"
    server.client("sagemaker").create_processing_job(
        ProcessingJobName="stubborn",
        RoleArn=ROLE,
        AppSpecification={"ImageUri": "any", "ContainerEntrypoint": ["bash", "-c", command]},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
        },
    )

    def processes() -> list[psutil.Process]:
        children = server.children()
        sleeping = [child for child in children if child.name() == "sleep"]
        return children if len(sleeping) == 2 else []

    return eventually(processes)


def test_it_says_where_it_listens_once_it_does(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "include.local_aws", "--port", str(port), "--state-dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"local AWS is ready at http://127.0.0.1:{port}\n"
        socket.create_connection(("127.0.0.1", port)).close()
        process.send_signal(signal.SIGINT)
        try:
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


def test_an_orderly_end_leaves_no_process_and_no_folder(
    start_local_aws: Callable[..., Any],
    eventually: Callable[..., Any],
    survivors: Callable[[list[psutil.Process]], list[psutil.Process]],
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with start_local_aws(TMPDIR=str(temporary)) as server:
        processes = _start_stubborn_job(server, eventually)
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
        processes = _start_stubborn_job(server, eventually)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert not survivors(processes)


def test_the_users_own_aws_settings_are_not_used(
    start_local_aws: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    with start_local_aws(
        AWS_PROFILE="no-such-profile", AWS_ENDPOINT_URL="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1"
    ) as server:
        sagemaker = server.client("sagemaker")
        sagemaker.create_processing_job(
            ProcessingJobName="speaks-to-s3",
            RoleArn=ROLE,
            AppSpecification={
                "ImageUri": "any",
                "ContainerEntrypoint": [
                    "python3",
                    "-c",
                    "import boto3; boto3.client('s3').create_bucket(Bucket='made-by-a-job')",
                ],
            },
            ProcessingResources={
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
            },
        )

        def ended() -> bool:
            job = sagemaker.describe_processing_job(ProcessingJobName="speaks-to-s3")
            return job["ProcessingJobStatus"] == "Completed"

        eventually(ended)
        buckets = server.client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == ["made-by-a-job"]


def test_health_names_the_account(local_aws: Any) -> None:
    from urllib.request import urlopen

    with urlopen(f"{local_aws.url}/_local_aws/health") as answer:
        assert json.load(answer) == {"status": "ok", "account": "123456789012"}
