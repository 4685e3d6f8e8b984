"""Print constraints.txt: the versions of all direct and indirect requirements, for every supported platform.

Run it in an environment with the versions to pin: `.venv/bin/python -m include.laptop.lock`.
The environment is installed from these pins without dependency resolution, because no solution exists from Python 3.12
on: Airflow requires importlib-metadata >= 7, and sagemaker-core requires < 7, although it calls only `version`, which
every release has.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {
    "linux, x86_64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "linux, aarch64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macOS, arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}
MARKERS = {
    frozenset(SYSTEMS): "",
    frozenset({"linux, x86_64", "linux, aarch64"}): 'sys_platform == "linux"',
    frozenset({"linux, x86_64"}): 'sys_platform == "linux" and platform_machine == "x86_64"',
}
# Pins that differ on newer versions of Python, which an environment of Python 3.11 does not contain.
DIFFERENT_ON_NEWER_PYTHON = {
    "importlib-metadata": [
        'importlib-metadata==6.11.0 ; python_version < "3.12"',
        'importlib-metadata==8.7.1 ; python_version >= "3.12"',
    ],
}
# Packages that are not installed on Linux with Python 3.11. They have no requirements.
ONLY_ELSEWHERE = {
    "appnope": ['appnope==1.0.0 ; sys_platform == "darwin"'],
    "pyyaml-ft": ['pyyaml-ft==8.0.0 ; python_version == "3.13"'],
}
NOT_PINNED = {
    # Every virtual environment includes it. If it were pinned, pip would replace itself while it is running.
    "pip",
    # It makes the import of jsonschema 2 s slower, and every process of Airflow imports jsonschema. Without it,
    # jsonschema skips the check of one format ("iri"), which is not used here.
    "rfc3987-syntax",
}

HEADER = """\
# Exact versions of everything that requirements.txt pulls in, for Python 3.11 to 3.13 on Linux and macOS.
# Made by `.venv/bin/python -m include.laptop.lock`, which says how and why.
"""


def compile_requirements(requirements: Path, *options: str) -> None:
    """Resolve a file of requirements within the versions of constraints.txt.

    :param options: Additional options of ``uv pip compile``.
    :raises subprocess.CalledProcessError: If there is no solution, or the package index does not respond.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate"]
    constraints = ["--constraints", str(ROOT / "constraints.txt")]
    subprocess.run(
        [*command, *constraints, *options, str(requirements)], check=True, capture_output=True, text=True
    )


def read_requirements(path: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file and of the files that it includes with `-r`."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from read_requirements(path.parent / text.removeprefix("-r ").strip())
        elif text:
            yield Requirement(text)


def needed(requirements: list[Requirement], environment: dict[str, str]) -> set[str]:
    """Return the names of all direct and indirect requirements in a marker environment."""
    found: set[tuple[str, str]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            if name in ONLY_ELSEWHERE or name in NOT_PINNED:
                continue
            for text in metadata.requires(name) or []:
                dependency = Requirement(text)
                marker = dependency.marker
                if marker is None or marker.evaluate({**environment, "extra": extra}):
                    waiting.append(dependency)
    return {name for name, _ in found}


def pins(requirements: Path = ROOT / "requirements.txt") -> list[str]:
    """Return one line `name==version ; marker` per package, sorted by name.

    :raises importlib.metadata.PackageNotFoundError: If a required package is not installed.
    """
    asked = list(read_requirements(requirements))
    systems_of: dict[str, set[str]] = {}
    for python, (system, markers) in product(PYTHONS, SYSTEMS.items()):
        environment = {"python_version": python, "python_full_version": f"{python}.0", **markers}
        for name in needed(asked, environment) - NOT_PINNED:
            systems_of.setdefault(name, set()).add(system)
    lines = []
    for name, systems in sorted(systems_of.items()):
        if by_hand := (DIFFERENT_ON_NEWER_PYTHON | ONLY_ELSEWHERE).get(name):
            lines += by_hand
            continue
        marker = MARKERS[frozenset(systems)]
        lines.append(f"{name}=={metadata.version(name)}" + (f" ; {marker}" if marker else ""))
    return lines


if __name__ == "__main__":
    sys.stdout.write(HEADER + "\n".join(pins()) + "\n")
