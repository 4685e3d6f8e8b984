"""Each permission that no recorded run needs has a reason that holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from tests.include.infrastructure import kept, policies

REPOSITORY = Path(__file__).parents[3]


def test_what_is_listed_is_what_the_stack_has(stack: dict[str, dict[str, Any]]) -> None:
    granted = {
        (policy, statement["Sid"], action)
        for documents in stack.values()
        for policy, document in documents.items()
        for statement in document["Statement"]
        for action in policies.listed(statement["Action"])
    }
    assert kept.reasons().keys() - granted == set()


@pytest.mark.parametrize("what", list(kept.CALLED))
def test_the_code_that_is_named_calls_it(what: str) -> None:
    file, *rows = kept.CALLED[what]
    code = (REPOSITORY / file).read_text(encoding="utf-8")
    for row in rows:
        action = row.split()[2]
        method = kept.METHODS.get(action) or xform_name(action.partition(":")[2])
        assert re.search(rf"\b({method})\b", code), f"{file} does not call {method} ({row})"


def test_every_action_of_the_policy_for_pages_is_one_that_pages_call(
    stack: dict[str, dict[str, Any]],
) -> None:
    code = (
        "".join(path.read_text() for path in (REPOSITORY / "plugins" / "project_pages").glob("*.py"))
        + (REPOSITORY / "include" / "pipeline" / "infrastructure.py").read_text()
    )
    (document,) = stack[policies.PAGES].values()
    methods = {"s3:ListBucket": "get_object"}  # without it, S3 answers 403 for an object that does not exist
    for statement in document["Statement"]:
        for action in policies.listed(statement["Action"]):
            assert methods.get(action, xform_name(action.partition(":")[2])) in code
