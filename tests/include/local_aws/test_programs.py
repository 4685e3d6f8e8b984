"""Programs that work in an environment that was moved."""

import subprocess
from pathlib import Path

import pytest

from include.local_aws import programs
from include.local_aws.config import Config
from include.local_aws.principals import Principal


@pytest.mark.parametrize("folder", ["python", "a python with 'marks'"])
def test_torchrun_is_run_by_the_interpreter_of_local_aws(tmp_path: Path, folder: str) -> None:
    python = tmp_path / folder / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    programs.write(tmp_path / "programs", str(python))
    environment = Config(tmp_path, programs_dir=tmp_path / "programs").child_environment(Principal.JOB)

    called = subprocess.run(
        ["sh", "-c", 'torchrun --nnodes 2 "train me.py"'], env=environment, capture_output=True, text=True
    )

    assert called.stdout.splitlines() == ["-m", "torch.distributed.run", "--nnodes", "2", "train me.py"]
