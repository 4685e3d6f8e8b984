"""The AWS command line: copies, calls and deployments, as a person types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = Path(__file__).parents[2] / "include" / "infrastructure" / "stack.yaml"


def find() -> str | None:
    """Return the first ``aws`` of the path that runs; a version manager's shim may have nothing behind it."""
    for folder in os.environ["PATH"].split(os.pathsep):
        program = shutil.which("aws", path=folder)
        if (
            program
            and subprocess.run([program, "--version"], check=False, capture_output=True).returncode == 0
        ):
            return program
    return None


AWS = find()
pytestmark = pytest.mark.skipif(AWS is None, reason="There is no AWS command line (aws) on this machine.")


@pytest.fixture
def aws(local_aws: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = inherited | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": local_aws.url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_PAGER": "",
        "NO_PROXY": "127.0.0.1",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(AWS), *words], env=environment, cwd=tmp_path, check=False, capture_output=True, text=True
        )

    return run


def test_a_folder_is_synchronized_and_moved(aws: Callable[..., Any], local_aws: Any, tmp_path: Path) -> None:
    bucket = f"cli-{uuid.uuid4().hex[:8]}"
    Path(tmp_path, "folder").mkdir()
    Path(tmp_path, "folder", "a.txt").write_text("text")
    assert aws("s3", "mb", f"s3://{bucket}").returncode == 0
    synchronized = aws("s3", "sync", "folder", f"s3://{bucket}/there")
    assert "upload: folder/a.txt" in synchronized.stdout, synchronized.stderr
    assert aws("s3", "mv", f"s3://{bucket}/there/a.txt", f"s3://{bucket}/b.txt").returncode == 0
    assert aws("s3", "cp", f"s3://{bucket}/b.txt", "-").stdout == "text"


def test_the_stack_is_deployed_once_and_then_up_to_date(aws: Callable[..., Any]) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    words = ("cloudformation", "deploy", "--stack-name", name, "--template-file", str(TEMPLATE))
    refused = aws(*words)
    assert "InsufficientCapabilitiesException" in refused.stderr
    deployed = aws(*words, "--capabilities", "CAPABILITY_IAM", "--parameter-overrides", "EnforceTls=false")
    assert deployed.returncode == 0, deployed.stderr
    outputs = aws("cloudformation", "describe-stacks", "--stack-name", name, "--query", "Stacks[0].Outputs")
    assert "BucketName" in [each["OutputKey"] for each in json.loads(outputs.stdout)]
    again = aws(*words, "--capabilities", "CAPABILITY_IAM")
    assert "No changes to deploy" in again.stdout + again.stderr
    assert aws("cloudformation", "delete-stack", "--stack-name", name).returncode == 0


def test_what_local_aws_does_not_implement_is_told_in_a_sentence(aws: Callable[..., Any]) -> None:
    refused = aws("sagemaker", "list-pipelines")
    assert refused.returncode != 0
    assert "(ValidationException)" in refused.stderr
    assert "Local AWS does not implement SageMaker's ListPipelines." in refused.stderr
