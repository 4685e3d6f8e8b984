"""Where a container's paths lie in a job's folder, and how a job's processes are stopped."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker.job_run import JobRun, Outcome, container_path, in_folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/opt/ml", "/job", id="itself"),
        pytest.param("/opt/ml/model", "/job/model", id="below"),
        pytest.param("--dir=/opt/ml/model", "--dir=/job/model", id="option"),
        pytest.param("cat '/opt/ml/a' > /opt/ml/b;", "cat '/job/a' > /job/b;", id="shell"),
        pytest.param("s3://bucket/opt/ml/a", "s3://bucket/opt/ml/a", id="part of an address"),
        pytest.param("/opt/mlflow", "/opt/mlflow", id="another folder"),
    ],
)
def test_the_container_s_folder_becomes_the_job_s(text: str, expected: str) -> None:
    assert in_folder(text, Path("/job")) == expected


@pytest.mark.parametrize("path", ["/tmp/data", "/opt/ml/../../etc", "data"])
def test_a_path_must_lie_in_the_container_s_folder(path: str) -> None:
    with pytest.raises(AwsError, match="must lie below /opt/ml"):
        container_path(path, Path("/job"))


def test_a_process_that_ignores_the_stop_is_killed_after_the_server_s_grace(
    local_aws: Any, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    children, lines = ChildProcesses(), []
    port = int(local_aws.url.rpartition(":")[2])
    config = Config(state_dir=tmp_path, port=port, stop_grace_seconds=0.2)
    run = JobRun(config, children, "/log/test", receives_sigterm=True)
    command = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    run.start(
        ["bash", "-c", command],
        env=dict(os.environ),
        cwd=tmp_path,
        log_stream="stubborn",
        on_line=lines.append,
    )
    eventually(lambda: lines == ["ready"])
    run.stop()
    assert run.wait(3600) is Outcome.STOPPED
    assert run.exit_codes == [-9]
    children.stop_all()


@pytest.mark.parametrize(
    "receives_sigterm", [pytest.param(True, id="processing"), pytest.param(False, id="script mode")]
)
def test_a_stop_reaches_only_code_that_receives_sigterm(
    local_aws: Any, tmp_path: Path, eventually: Callable[..., Any], receives_sigterm: bool
) -> None:
    children, lines = ChildProcesses(), []
    port = int(local_aws.url.rpartition(":")[2])
    # Two minutes of AWS's are 0.2 s.
    config = Config(state_dir=tmp_path, port=port, stop_grace_seconds=30, time_scale=600)
    run = JobRun(config, children, "/log/test", receives_sigterm=receives_sigterm)
    command = "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    run.start(
        ["bash", "-c", command],
        env=dict(os.environ),
        cwd=tmp_path,
        log_stream="told" if receives_sigterm else "untold",
        on_line=lines.append,
    )
    eventually(lambda: lines == ["ready"])
    run.stop()
    assert run.wait(3600) is Outcome.STOPPED
    assert ("told" in lines) == receives_sigterm  # bash says too that its sleep was ended
    assert run.exit_codes == [0 if receives_sigterm else -9]
    children.stop_all()
