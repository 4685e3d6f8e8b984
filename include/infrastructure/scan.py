"""Checks the stack with checkov, in an environment of its own: its pins of boto3 and others are not Airflow's.

``python -m include.infrastructure.scan`` takes minutes the first time: pip fetches the packages from its index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from include.laptop import side_environment

STACK = Path("include/infrastructure/stack.yaml")
SETTINGS = STACK.with_name("checkov.yaml")
FOLDER = side_environment.REPOSITORY / ".local" / "checkov"
PACKAGES = ("checkov==3.3.30",)


def main() -> int:
    """Make the environment, then scan; return checkov's exit status, which is not 0 where it finds something."""
    side_environment.make(FOLDER, PACKAGES)
    command: list[str | Path] = [FOLDER / "bin" / "checkov", "--file", STACK, "--config-file", SETTINGS]
    return subprocess.run(command, cwd=side_environment.REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
