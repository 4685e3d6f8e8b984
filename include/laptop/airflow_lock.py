"""Write requirements/airflow.lock: the pins of what Airflow imports, with hashes, for Python 3.11 to 3.13.

Run it after constraints.txt was written: `.venv/bin/python -m include.laptop.airflow_lock`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from include.laptop.lock import PYTHONS, ROOT

REQUIREMENTS = ROOT / "requirements" / "airflow.txt"
LOCK = REQUIREMENTS.with_suffix(".lock")
COMMAND = ".venv/bin/python -m include.laptop.airflow_lock"


def resolve(*options: str) -> None:
    """Find versions for the requirements of Airflow among those that constraints.txt allows.

    :param options: further options of ``uv pip compile``.
    :raises subprocess.CalledProcessError: if there are none, or the package index does not answer.
    """
    subprocess.run(
        [
            sys.executable,
            *("-m", "uv", "pip", "compile", "--quiet", "--no-annotate"),
            *("--constraints", str(ROOT / "constraints.txt")),
            *options,
            str(REQUIREMENTS),
        ],
        check=True,
        capture_output=True,
        text=True,
    )


def write(path: Path) -> None:
    """Write the lock file."""
    path.unlink(missing_ok=True)  # what it holds would be preferred
    resolve(
        *("--universal", "--python-version", PYTHONS[0], "--generate-hashes"),
        *("--custom-compile-command", COMMAND, "--output-file", str(path)),
    )


if __name__ == "__main__":
    write(LOCK)
