"""The README of local AWS: its parts and their lines, and that nothing else imports local AWS."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
FOLDER = REPOSITORY / "include" / "local_aws"
HEADER = "| Part | Files | Lines | What it is for |\n|---|---|---|---|\n"
DEVIATION = 0.25


def rows() -> list[list[str]]:
    """Return the rows of the table of parts, as their cells."""
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").partition(HEADER)[2].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_lines_of_each_part_are_about_as_many_as_the_table_says() -> None:
    remaining = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FOLDER.rglob("*.py")}
    wrong = []
    for part, patterns, written, _ in rows():
        files = {path for pattern in re.findall(r"`([^`]+)`", patterns) for path in FOLDER.glob(pattern)}
        lines = sum(remaining.pop(path) for path in files & remaining.keys())
        if abs(lines - int(written)) > DEVIATION * int(written):
            wrong.append(f"{part} has {lines} lines, not {written}")
    assert not remaining, f"These files belong to no part of the table: {sorted(map(str, remaining))}"
    assert wrong == []


def test_nothing_but_tests_and_local_aws_itself_imports_local_aws() -> None:
    importing = [
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("dags", "plugins", "include", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*.py")
        if not path.is_relative_to(FOLDER) and any("local_aws" in name for name in imported(path))
    ]
    assert importing == []


def test_local_aws_imports_nothing_else_of_the_project() -> None:
    others = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in FOLDER.rglob("*.py")
        for name in imported(path)
        if re.match(r"(dags|plugins|include|tests|benchmarks)\b", name)
        and not name.startswith("include.local_aws")
    }
    assert others == set()


def imported(path: Path) -> list[str]:
    """Return the full names of what a module imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names
