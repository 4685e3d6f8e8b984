"""Move the alias that callers of the function use, and wait until its calls reach the new version.

An alias with provisioned concurrency moves slowly: Lambda gives the previous version a weight of 1 until the new
version is provisioned, which takes minutes. If that fails, the weight stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from include.pipeline.aws_documents import AwsAnswer, AwsRequest
from include.pipeline.names import ALIAS, function_name
from include.pipeline.settings import Project
from include.pipeline.waiting import WAIT_SECONDS, StepState

log = logging.getLogger(__name__)

NO_WEIGHTS: AwsRequest = {"AdditionalVersionWeights": {}}


class AliasError(RuntimeError):
    """Raised if calls of the alias do not reach its version; the message says where they go, and why."""


def begin_move(project: Project, version: str, lambda_client: Any) -> None:
    """Point the alias to a version. With provisioned concurrency, its calls go there later."""
    name = {"FunctionName": function_name(project), "Name": ALIAS}
    # Lambda keeps the weights unless the request sets them.
    request = {**name, "FunctionVersion": version, "RoutingConfig": NO_WEIGHTS}
    try:
        lambda_client.update_alias(**request)
    except lambda_client.exceptions.InvalidParameterValueException:
        if not _weights(name, lambda_client):
            raise
        # A failed provisioning has left weights, and Lambda does not move an alias that has weights.
        lambda_client.update_alias(**name, RoutingConfig=NO_WEIGHTS)
        lambda_client.update_alias(**request)


def end_move(
    project: Project,
    version: str,
    lambda_client: Any,
    state: StepState,
    progress: Callable[[str], None] = log.info,
) -> None:
    """Wait until all calls go to the version that :func:`begin_move` has pointed the alias to.

    A version that can't be provisioned serves without warm environments, because the previous version has failed.

    :raises Pending: while it moves.
    :raises AliasError: if the alias has not moved after 30 minutes.
    """
    try:
        wait_until_moved(project, lambda_client, state)
    except AliasError as error:
        name = {"FunctionName": function_name(project), "Name": ALIAS}
        if _provisioning(name, lambda_client).get("Status") != "FAILED":
            raise
        progress(f"{error} The alias now sends all calls to version {version}, without warm environments.")
        lambda_client.update_alias(**name, RoutingConfig=NO_WEIGHTS)


def wait_until_moved(project: Project, lambda_client: Any, state: StepState) -> None:
    """Wait until a moving alias sends all calls to the version that it points to.

    :raises Pending: while it moves.
    :raises AliasError: if it does not within 30 minutes, or Lambda can't provision that version.
    """
    name = {"FunctionName": function_name(project), "Name": ALIAS}
    # The order matters: Lambda removes the weights once it has provisioned the version.
    provisioned = _provisioning(name, lambda_client)
    weights = _weights(name, lambda_client) if provisioned else {}
    # Without weights, a version whose provisioning failed serves all calls, without warm environments.
    if not weights and provisioned.get("Status") != "IN_PROGRESS":
        return
    target, before = f"{name['FunctionName']}:{ALIAS}", ", ".join(weights) or "before"
    if provisioned["Status"] == "FAILED":
        raise AliasError(
            f"Calls of {target} still go to version {before}: Lambda can't provision concurrency for the version "
            f"that it points to ({provisioned.get('StatusReason', 'no reason given')})."
        )
    late = AliasError(
        f"Calls of {target} still go to version {before} after {WAIT_SECONDS // 60} minutes: its provisioned "
        f"concurrency is {provisioned['Status']}."
    )
    message = f"Calls of {target} go to version {before} until its new version is provisioned."
    state.wait(f"the alias {target}", late, WAIT_SECONDS, message)


def _weights(name: dict[str, str], lambda_client: Any) -> dict[str, float]:
    alias = lambda_client.get_alias(**name)
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}


def _provisioning(name: dict[str, str], lambda_client: Any) -> AwsAnswer:
    """Return the provisioned concurrency of the alias; empty if it has none or does not exist."""
    try:
        found: AwsAnswer = lambda_client.get_provisioned_concurrency_config(
            FunctionName=name["FunctionName"], Qualifier=name["Name"]
        )
    except (
        lambda_client.exceptions.ProvisionedConcurrencyConfigNotFoundException,
        lambda_client.exceptions.ResourceNotFoundException,
    ):
        return {}
    return found
