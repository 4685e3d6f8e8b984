"""Each statement of the stack's policies is one that AWS knows, and can apply."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.include.infrastructure import reference
from tests.include.infrastructure.reference import Statement, problems

REPOSITORY = Path(__file__).parents[3]


def test_every_action_resource_type_and_condition_key_exists(stack: dict[str, dict[str, Any]]) -> None:
    found = [
        f"{policy}, {statement['Sid']}: {problem}"
        for documents in stack.values()
        for policy, document in documents.items()
        for statement in document["Statement"]
        for problem in problems(statement)
    ]
    assert found == []


def test_every_statement_has_a_name_of_its_own(stack: dict[str, dict[str, Any]]) -> None:
    for documents in stack.values():
        for policy, document in documents.items():
            names = [statement["Sid"] for statement in document["Statement"]]
            assert len(set(names)) == len(names), policy


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "CONTRIBUTING.md",
        *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")),
    ],
)
def test_every_action_that_the_docs_name_exists(path: str) -> None:
    services = "|".join(reference.DATA.services.get_service_keys())
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    named = re.findall(rf"(?<![\w:/.-])((?:{services}):[A-Z][A-Za-z]+)", text)
    assert [action for action in named if not reference.exists(action)] == []


def statement(action: str, resource: str, **condition: Any) -> Statement:
    return {"Action": action, "Resource": resource} | ({"Condition": condition} if condition else {})


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        pytest.param(
            statement("sagemaker:DescribeEndpoints", "*"),
            "there is no action",
            id="an action that is not there",
        ),
        pytest.param(
            statement("sagemaker:ListEndpoints", "arn:aws:sagemaker:eu-west-1:123456789012:*"),
            "permitted by \\* alone",
            id="a resource for an action that knows none",
        ),
        pytest.param(
            statement("lambda:GetAlias", "arn:aws:sagemaker:eu-west-1:123456789012:*"),
            "knows none of",
            id="a resource of another service",
        ),
        pytest.param(statement("lambda:GetAlias", "*"), "can be limited", id="all resources"),
        pytest.param(
            statement("s3:GetObject", "arn:aws:s3:::bucket/*", StringEquals={"sagemaker:TaggingAction": "x"}),
            "does not know the condition key",
            id="a condition key of another service",
        ),
        pytest.param(
            statement(
                "iam:PassRole",
                "arn:aws:iam::123456789012:role/x",
                **{"StringEquals": {"aws:RequestTag/managed-by": "airflow"}},
            ),
            "does not know the condition key",
            id="a tag that the request cannot carry",
        ),
    ],
)
def test_what_aws_does_not_know_is_found(wrong: Statement, problem: str) -> None:
    assert any(re.search(problem, found) for found in problems(wrong))
