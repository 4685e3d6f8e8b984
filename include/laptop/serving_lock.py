"""Write include/serving/requirements.txt: the packages of the serving image, with versions and hashes.

Run it after updating constraints.txt: `.venv/bin/python -m include.laptop.serving_lock`.
"""

from __future__ import annotations

from pathlib import Path

from include.laptop.lock import ROOT, compile_requirements

REQUIREMENTS = ROOT / "include" / "serving" / "requirements.in"
LOCK = REQUIREMENTS.with_suffix(".txt")
COMMAND = ".venv/bin/python -m include.laptop.serving_lock"
PYTHON = "3.13"
"""The Python version of the base image in include/serving/Dockerfile."""


def write(path: Path) -> None:
    """Write the lock file with the versions in constraints.txt, which the tests and the benchmark use.

    :raises subprocess.CalledProcessError: If there is no solution, or the package index does not respond.
    """
    path.unlink(missing_ok=True)  # uv would prefer its versions
    compile_requirements(
        REQUIREMENTS,
        *("--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28", "--generate-hashes"),
        *("--custom-compile-command", COMMAND, "--output-file", str(path)),
    )


if __name__ == "__main__":
    write(LOCK)
