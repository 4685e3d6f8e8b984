"""The alias of the function that callers use: move it, and wait until its calls go where it points.

An alias with provisioned concurrency moves slowly: Lambda itself gives the version that it leaves a weight of 1, until
the new version is provisioned, which takes minutes. If that fails, the weight stays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from include.pipeline.names import ALIAS, function_name
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

WAIT_SECONDS = 1800
NO_WEIGHTS: dict[str, Any] = {"AdditionalVersionWeights": {}}


class AliasError(RuntimeError):
    """An alias whose calls do not go where it points; the message says where they go, and why."""


def begin_move(project: Project, version: str, lambda_client: Any) -> None:
    """Point the alias to a version; where it has provisioned concurrency, its calls go there later."""
    name = {"FunctionName": function_name(project), "Name": ALIAS}
    # With the weights, which else would stay as they are.
    request = {**name, "FunctionVersion": version, "RoutingConfig": NO_WEIGHTS}
    try:
        lambda_client.update_alias(**request)
    except lambda_client.exceptions.InvalidParameterValueException:
        if not _weights(name, lambda_client):
            raise
        # A version that could not be provisioned has left them, and Lambda moves no alias that has some.
        lambda_client.update_alias(**name, RoutingConfig=NO_WEIGHTS)
        lambda_client.update_alias(**request)


def end_move(
    project: Project, version: str, lambda_client: Any, progress: Callable[[str], None] = log.info
) -> None:
    """Wait until all calls go to the version that the alias points to since :func:`begin_move`.

    Where it can't be provisioned, it serves without warm environments: what the alias leaves has failed.

    :raises AliasError: if the alias has not moved in 30 minutes.
    """
    try:
        wait_until_moved(project, lambda_client, progress)
    except AliasError as error:
        name = {"FunctionName": function_name(project), "Name": ALIAS}
        if _provisioning(name, lambda_client).get("Status") != "FAILED":
            raise
        progress(
            f"{error} The alias drops that version, and serves version {version} without warm environments."
        )
        lambda_client.update_alias(**name, RoutingConfig=NO_WEIGHTS)


def wait_until_moved(
    project: Project, lambda_client: Any, progress: Callable[[str], None] = log.info
) -> None:
    """Wait until an alias that moves sends its calls to the version that it points to.

    :raises AliasError: if it does not in 30 minutes, or Lambda can't provision that version.
    """
    name = {"FunctionName": function_name(project), "Name": ALIAS}
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        # In this order: Lambda takes the weights off when it has provisioned the version.
        provisioned = _provisioning(name, lambda_client)
        weights = _weights(name, lambda_client) if provisioned else {}
        # Without weights, one that failed serves, though nothing of it is warm.
        if not weights and provisioned.get("Status") != "IN_PROGRESS":
            return
        target, before = f"{name['FunctionName']}:{ALIAS}", ", ".join(weights) or "before"
        if provisioned["Status"] == "FAILED":
            raise AliasError(
                f"Calls of {target} still go to version {before}: Lambda can't provision concurrency for the version "
                f"that it points to ({provisioned.get('StatusReason', 'no reason given')})."
            )
        if time.monotonic() > deadline:
            raise AliasError(
                f"Calls of {target} still go to version {before} after {WAIT_SECONDS // 60} minutes: its provisioned "
                f"concurrency is {provisioned['Status']}."
            )
        progress(f"Calls of {target} go to version {before} until its new version is provisioned.")
        time.sleep(min(project.poll_seconds, 10))


def _weights(name: dict[str, str], lambda_client: Any) -> dict[str, float]:
    alias = lambda_client.get_alias(**name)
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}


def _provisioning(name: dict[str, str], lambda_client: Any) -> dict[str, Any]:
    """What is provisioned for the alias; nothing where it has no provisioned concurrency, or does not exist."""
    try:
        found: dict[str, Any] = lambda_client.get_provisioned_concurrency_config(
            FunctionName=name["FunctionName"], Qualifier=name["Name"]
        )
    except (
        lambda_client.exceptions.ProvisionedConcurrencyConfigNotFoundException,
        lambda_client.exceptions.ResourceNotFoundException,
    ):
        return {}
    return found
