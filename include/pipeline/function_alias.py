"""Move the alias that callers of the function use, and wait until its calls reach the new version."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from include.aws.lambda_alias import IN_PROGRESS, LambdaAlias
from include.pipeline.names import ALIAS, function_name
from include.pipeline.settings import Project
from include.pipeline.waiting import WAIT_SECONDS, StepState

log = logging.getLogger(__name__)


class AliasError(RuntimeError):
    """Raised if calls of the alias do not reach its version; the message says where they go, and why."""


def begin_move(project: Project, version: str, lambda_client: Any) -> None:
    """Point the alias to a version. With provisioned concurrency, its calls go there later."""
    _alias(project, lambda_client).move(version)


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
        alias = _alias(project, lambda_client)
        if (alias.provisioned() or {}).get("Status") != "FAILED":
            raise
        progress(f"{error} The alias now sends all calls to version {version}, without warm environments.")
        alias.clear_weights()


def wait_until_moved(project: Project, lambda_client: Any, state: StepState) -> None:
    """Wait until a moving alias sends all calls to the version that it points to.

    :raises Pending: while it moves.
    :raises AliasError: if it does not within 30 minutes, or Lambda can't provision that version.
    """
    alias = _alias(project, lambda_client)
    # The order matters: Lambda removes the weights once it has provisioned the version.
    provisioned = alias.provisioned()
    if provisioned is None:
        return
    weights = alias.weights()
    # Without weights, a version whose provisioning failed serves all calls, without warm environments.
    if not weights and provisioned["Status"] != IN_PROGRESS:
        return
    before = ", ".join(weights) or "before"
    if provisioned["Status"] == "FAILED":
        raise AliasError(
            f"Calls of {alias} still go to version {before}: Lambda can't provision concurrency for the version "
            f"that it points to ({provisioned.get('StatusReason', 'no reason given')})."
        )
    late = AliasError(
        f"Calls of {alias} still go to version {before} after {WAIT_SECONDS // 60} minutes: its provisioned "
        f"concurrency is {provisioned['Status']}."
    )
    message = f"Calls of {alias} go to version {before} until its new version is provisioned."
    state.wait(f"the alias {alias}", late, WAIT_SECONDS, message)


def _alias(project: Project, lambda_client: Any) -> LambdaAlias:
    return LambdaAlias(function_name(project), ALIAS, lambda_client)
