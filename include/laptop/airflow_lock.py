"""Write requirements/airflow.lock: the pinned packages of Airflow, with hashes, for Python 3.11 to 3.13.

Run it after updating constraints.txt: `.venv/bin/python -m include.laptop.airflow_lock`.
"""

from __future__ import annotations

from pathlib import Path

from include.laptop.lock import PYTHONS, ROOT, compile_requirements

REQUIREMENTS = ROOT / "requirements" / "airflow.txt"
LOCK = REQUIREMENTS.with_suffix(".lock")
COMMAND = ".venv/bin/python -m include.laptop.airflow_lock"


def write(path: Path) -> None:
    """Write the lock file."""
    path.unlink(missing_ok=True)  # uv would prefer its versions
    compile_requirements(
        REQUIREMENTS,
        *("--universal", "--python-version", PYTHONS[0], "--generate-hashes"),
        *("--custom-compile-command", COMMAND, "--output-file", str(path)),
    )


if __name__ == "__main__":
    write(LOCK)
