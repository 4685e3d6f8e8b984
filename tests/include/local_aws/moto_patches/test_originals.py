"""The methods of moto that local AWS replaces are those for which the replacements were written."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[4]
LOCAL_AWS = REPOSITORY / "include" / "local_aws"
PATCHES = LOCAL_AWS / "moto_patches"
ORIGINALS = PATCHES / "originals.json"
COMMAND = ".venv/bin/python -m include.local_aws.moto_patches > include/local_aws/moto_patches/originals.json"


def problem(known: dict[str, Any], found: dict[str, Any]) -> str | None:
    """Return a sentence about the methods that differ; None if none does."""
    before, now = known["methods"], found["methods"]
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if not changed:
        return None
    return (
        f"Replaced methods of moto have changed from {known['moto']} to {found['moto']}: {', '.join(changed)}. "
        f"Compare the sources, adapt the replacements in include/local_aws/moto_patches, and run: {COMMAND}"
    )


def test_the_replaced_methods_are_those_for_which_the_replacements_were_written() -> None:
    command = [sys.executable, "-m", "include.local_aws.moto_patches"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True)
    sentence = problem(json.loads(ORIGINALS.read_text()), json.loads(printed.stdout))
    assert sentence is None, sentence


def test_the_sentence_names_each_method_that_was_changed_added_or_removed() -> None:
    known = {"moto": "5.2.5", "methods": {"a.A.same": "1", "a.A.changed": "1", "a.A.removed": "1"}}
    found = {"moto": "5.3.0", "methods": {"a.A.same": "1", "a.A.changed": "2", "a.A.added": "1"}}
    sentence = problem(known, found)
    assert sentence is not None
    assert "from 5.2.5 to 5.3.0: a.A.added, a.A.changed, a.A.removed. " in sentence


def test_the_recipes_have_the_command() -> None:
    assert COMMAND in (REPOSITORY / "CONTRIBUTING.md").read_text()


def test_methods_of_moto_are_replaced_only_by_replace() -> None:
    found = [
        f"{path.relative_to(LOCAL_AWS)}:{line}"
        for path in LOCAL_AWS.rglob("*.py")
        for line in assignments(path)
    ]
    assert found == []


def test_an_assignment_to_a_class_of_moto_is_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from moto.sns.models import SNSBackend\nSNSBackend.publish = print\nsetattr(SNSBackend, 'publish', print)\n"
        "other = print\nreplace(SNSBackend, 'publish', print)\n"
    )
    assert assignments(path) == [2, 3, 5]


def assignments(path: Path) -> list[int]:
    """Return the lines that assign to an attribute of a class of moto, or replace one outside the folder."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    of_moto = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "moto"
        for alias in node.names
        if isinstance(getattr(importlib.import_module(node.module or ""), alias.name, None), type)
    }
    calls = ("setattr",) if path.parent == PATCHES else ("setattr", "replace")
    lines = []
    for node in ast.walk(tree):
        owners: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            owners = [each.value for each in node.targets if isinstance(each, ast.Attribute)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
            owners = node.args[:1]
        if {ast.unparse(owner) for owner in owners} & of_moto:
            lines.append(node.lineno)  # type: ignore[attr-defined]
    return lines
