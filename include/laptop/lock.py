"""Print constraints.txt: the versions of all that requirements.txt pulls in, on every supported system.

Run it in an environment that holds what is to be pinned: `.venv/bin/python -m include.laptop.lock`.
The environment is installed from these pins without asking pip to resolve anything, because from Python 3.12
on no resolver finds an answer: Airflow wants importlib-metadata >= 7 and sagemaker-core one below 7, though
all it calls is `version`, which every release has.
"""

from __future__ import annotations

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
# What an environment of Python 3.11 cannot tell: the pins that differ on a newer one.
DIFFERENT_ON_NEWER_PYTHON = {
    "importlib-metadata": [
        'importlib-metadata==6.11.0 ; python_version < "3.12"',
        'importlib-metadata==8.7.1 ; python_version >= "3.12"',
    ],
}
# What is not installed on Linux with Python 3.11, and needs nothing else itself.
ONLY_ELSEWHERE = {
    "appnope": ['appnope==1.0.0 ; sys_platform == "darwin"'],
    "pyyaml-ft": ['pyyaml-ft==8.0.0 ; python_version == "3.13"'],
}
NOT_PINNED = {
    # It comes with every virtual environment; pinning it would make pip replace itself while it runs.
    "pip",
    # jsonschema takes 2 s longer to import with it, and every process of Airflow's imports jsonschema. Without it,
    # jsonschema leaves out the check of one format ("iri"), which nothing here asks for.
    "rfc3987-syntax",
}

HEADER = """\
# Exact versions of everything that requirements.txt pulls in, for Python 3.11 to 3.13 on Linux and macOS.
# Made by `.venv/bin/python -m include.laptop.lock`, which says how and why.
"""


def read_requirements(path: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file and of those it includes with `-r`."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from read_requirements(path.parent / text.removeprefix("-r ").strip())
        elif text:
            yield Requirement(text)


def needed(requirements: list[Requirement], environment: dict[str, str]) -> set[str]:
    """Return the names of all packages that `requirements` need, directly or not, in a marker environment."""
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

    Raises importlib.metadata.PackageNotFoundError when something needed is not installed here.
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
