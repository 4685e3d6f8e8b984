"""Compare the calls that local AWS has recorded with the policies of the stack that was deployed to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.include.infrastructure import iam_requests, kept, policies, simulator
from tests.include.infrastructure.iam_requests import IamRequest
from tests.include.infrastructure.simulator import Answer

absent = simulator.why_absent()
needs_simulator = pytest.mark.skipif(absent is not None, reason=absent or "")

Permission = tuple[str, str, str]
"""A policy or role of the template, the name of one of its statements, and an action."""


@dataclass(frozen=True)
class Recorded:
    """The calls to a server, as far as they are recorded when they are first asked for.

    :param file: the file that local AWS writes.
    """

    file: Path
    client: Callable[[str], Any]

    @cached_property
    def policies(self) -> dict[str, dict[str, Any]]:
        return policies.of_stack(self.client)

    @cached_property
    def answers(self) -> dict[IamRequest, Answer]:
        """What IAM is asked for the calls of the stack's principals, and what it answers."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=policies.STACK)["Stacks"]
        with self.file.open(encoding="utf-8") as lines:
            calls = [call for call in map(json.loads, lines) if call["principal"] in self.policies]
        return simulator.simulate(iam_requests.requests(calls, stack["StackId"]), self.policies)

    def refused(self) -> list[str]:
        """Return the requests that are not allowed, with what the simulator says."""
        return [
            f"{request.principal}: {request.action} on {request.resource} with {dict(request.context)}: "
            f"{answer.result} {answer.errors or ''}"
            for request, answer in self.answers.items()
            if answer.result != "Allowed"
        ]

    def unneeded(self) -> set[Permission]:
        """Return the permissions of the roles and of Airflow that no recorded call needs."""
        needed = {
            (policy, statement, request.action)
            for request, answer in self.answers.items()
            for policy, statement in answer.statements
        }
        return set(self._granted()) - needed

    def shared(self) -> set[tuple[str, str]]:
        """Return the actions that a principal is allowed, by its role, on what others call, and never calls itself."""
        asked = [
            replace(request, principal=other)
            for request in self.answers
            for other in self.policies
            if other not in (request.principal, policies.PAGES)
        ]
        own = {(request.principal, request.action) for request in self.answers}
        allowed = {
            (request.principal, request.action)
            for request, answer in simulator.simulate(asked, self.policies).items()
            if answer.result == "Allowed"
        }
        return allowed - own

    def unneeded_without_reason(self) -> set[Permission]:
        """Return the permissions that neither a recorded call needs, nor :mod:`kept` gives a reason for."""
        return self.unneeded() - kept.reasons().keys()

    def shared_without_reason(self) -> set[tuple[str, str]]:
        """Return the calls of one principal that another is allowed, though it neither calls nor has a reason to."""
        principals = {role: principal for principal, role in policies.ROLES.items()}
        listed = {(principals.get(policy, policies.AIRFLOW), action) for policy, _, action in kept.reasons()}
        return self.shared() - listed

    def operations(self) -> set[tuple[str, str]]:
        """Return the operations that the stack's principals have called, each with its service."""
        with self.file.open(encoding="utf-8") as lines:
            calls = [json.loads(line) for line in lines]
        return {(call["service"], call["operation"]) for call in calls if call["principal"] in self.policies}

    def _granted(self) -> Iterator[Permission]:
        for principal, documents in self.policies.items():
            if principal == policies.PAGES:
                continue
            for policy, document in documents.items():
                for statement in document["Statement"]:
                    for action in policies.listed(statement["Action"]):
                        yield policy, statement["Sid"], action
