"""Ask the policy simulator @cloud-copilot/iam-simulate, which runs on Node, whether policies allow requests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.include.infrastructure.iam_requests import IamRequest

SCRIPT = Path(__file__).with_name("simulate.mjs")
FOLDER = Path(os.environ.get("IAM_SIMULATOR", Path(__file__).parents[3] / ".local" / "iam-simulator"))
"""Holds ``node_modules``. ``.ci/run`` installs it."""

# The ARNs of documents and parameters of AWS's own have no account, which the simulator takes for a mistake.
OF_AWS = re.compile(r"(arn:aws:ssm:[^:\"]*)::")


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    :param result: ``Allowed``, ``ImplicitlyDenied``, ``ExplicitlyDenied`` or ``Error``.
    :param statements: policy and name of each statement that allows it.
    :param ignored: condition keys of the context that the action does not know.
    :param errors: what is wrong with the request or the policies.
    """

    result: str
    statements: frozenset[tuple[str, str]]
    ignored: tuple[str, ...] = ()
    errors: Any = None


def why_absent() -> str | None:
    """Return why there is no simulator, or None if there is one."""
    if shutil.which("node") is None:
        return "Node is not installed, on which the simulator of IAM policies runs"
    if not (FOLDER / "node_modules" / "@cloud-copilot" / "iam-simulate").is_dir():
        return (
            f"{FOLDER} has no @cloud-copilot/iam-simulate; tests/include/infrastructure/package.json pins it"
        )
    return None


def simulate(
    requests: Iterable[IamRequest], policies: Mapping[str, Mapping[str, Any]]
) -> dict[IamRequest, Answer]:
    """Return the answer to each different request of the principals that have policies."""
    asked = [request for request in dict.fromkeys(requests) if request.principal in policies]
    question = {"requests": [vars(request) for request in asked], "policies": policies}
    done = subprocess.run(
        ["node", str(SCRIPT), str(FOLDER)],
        input=OF_AWS.sub(r"\1:000000000000:", json.dumps(question)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        request: Answer(
            answer["result"],
            frozenset(map(tuple, answer["statements"])),
            tuple(answer.get("ignored", [])),
            answer.get("errors"),
        )
        for request, answer in zip(asked, json.loads(done.stdout), strict=True)
    }
