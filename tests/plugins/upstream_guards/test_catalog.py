"""The list of guards is complete, and the documentation contains it."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from upstream_guards import catalog

REPOSITORY = Path(__file__).parents[3]
NUMBER = re.compile(r"apache/airflow(?:#|/issues/|/pull/)(\d+)")
SEARCHED = ("dags", "plugins", "include", "docker-compose.yaml", "Dockerfile", "Makefile", "requirements")
# The modules that install the guards of the scheduler, and the list itself.
NO_GUARDS = {"__init__.py", "scheduler.py", "catalog.py"}


@pytest.fixture(scope="module")
def named() -> dict[str, set[int]]:
    """The numbers of the Airflow issues that each file of the code references."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SEARCHED],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for file in files.stdout.splitlines():
        path = REPOSITORY / file
        is_code = path.suffix in (".py", ".yaml", ".txt", "") and path.is_file()
        if numbers := {int(number) for number in NUMBER.findall(path.read_text() if is_code else "")}:
            found[file] = numbers
    return found


def test_every_referenced_issue_is_listed_with_its_file(named: dict[str, set[int]]) -> None:
    listed = defaultdict(set)
    for guard in catalog.GUARDS:
        for file in guard.files:
            listed[file] |= set(guard.upstream)
    assert {file: numbers - listed[file] for file, numbers in named.items() if numbers - listed[file]} == {}


@pytest.mark.parametrize("guard", catalog.GUARDS, ids=lambda guard: guard.files[0])
def test_every_listed_file_references_an_issue_of_its_guard(
    guard: catalog.Guard, named: dict[str, set[int]]
) -> None:
    for file in guard.files:
        assert (REPOSITORY / file).is_file()
        assert not guard.upstream or named[file] & set(guard.upstream), file


def test_every_module_of_the_plugin_is_listed() -> None:
    folder = REPOSITORY / "plugins" / "upstream_guards"
    modules = {path.name for path in folder.glob("*.py")} - NO_GUARDS
    listed = {
        Path(file).name for guard in catalog.GUARDS for file in guard.files if "upstream_guards" in file
    }
    assert modules == listed


def test_page_contains_the_list() -> None:
    assert catalog.table() in (REPOSITORY / "docs" / "decisions" / "upstream-guards.md").read_text()


def test_list_was_checked_with_the_pinned_version() -> None:
    assert (
        f"apache-airflow=={catalog.CHECKED_WITH}" in (REPOSITORY / "constraints.txt").read_text().splitlines()
    )


def test_make_upstream_prints_each_guard_with_its_issues() -> None:
    printed = "\n".join(catalog.listing())
    for guard in catalog.GUARDS:
        assert guard.bug in printed
        assert guard.removable in printed
        assert all(catalog.ISSUE.format(number) in printed for number in guard.upstream)
