"""Undoing a release: the function's alias and the endpoint go back to what served before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from include.pipeline import function_alias, known_good, live, registry, scaling
from include.pipeline.live import endpoint_status
from include.pipeline.names import endpoint_name, function_name
from include.pipeline.scaling import Scaling
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

WAIT_SECONDS = 1800


class RollbackError(RuntimeError):
    """A rollback that did not reach its goal; the message says what state the endpoint is in."""


def roll_back(
    project: Project,
    before: dict[str, Any] | None,
    scaling_before: Scaling | None,
    sagemaker: Any,
    lambda_client: Any,
    autoscaling: Any,
    progress: Callable[[str], None] = log.info,
) -> str:
    """Go back to the last good release.

    Where there is none, the endpoint and the function are removed: a model that failed must not stay live.

    :param before: see :func:`include.pipeline.known_good.read`.
    :param scaling_before: how the endpoint shall scale, see :func:`include.pipeline.scaling.read`.
    :return: what was done, in one sentence.
    :raises RollbackError: if the endpoint does not return to service with the earlier configuration in 30 minutes.
    :raises AliasError: if the function's alias does not go back in 30 minutes.
    """
    _settle(project, sagemaker, progress)
    if before is None:
        _remove(project, sagemaker, lambda_client, autoscaling)
        _settle(project, sagemaker, progress)
        return "No release has passed its smoke test before, so the endpoint and the function were removed."
    if before["function_version"]:
        function_alias.begin_move(project, before["function_version"], lambda_client)
    try:
        _return_to(project, before, sagemaker, autoscaling, progress)
    finally:
        # Also where the endpoint did not return to service: what serves must keep scaling. Restoring the scaling of
        # an endpoint that does not exist is refused, and that error would hide the first one.
        if endpoint_status(project, sagemaker):
            scaling.restore(project, scaling_before, autoscaling, progress)
    if before["function_version"]:
        function_alias.end_move(project, before["function_version"], lambda_client, progress)
    return f"Model {before['model']} serves again."


def unproved(project: Project, sagemaker: Any, lambda_client: Any) -> dict[str, Any] | None:
    """What serves although no smoke test has proved it, or None where that is not so.

    What no run has released is not meant: a model without a package is a person's doing.

    :return: in the form of :func:`include.pipeline.live.read_live`.
    """
    serving = live.read_live(project, sagemaker, lambda_client)
    if serving is None or known_good.is_same(serving, _good(project, serving, sagemaker, lambda_client)):
        return None
    package = registry.find(serving["model"], registry.packages(project, sagemaker))
    return serving if package else None


def take_back_unproved(
    project: Project,
    run: str,
    sagemaker: Any,
    lambda_client: Any,
    autoscaling: Any,
    progress: Callable[[str], None] = log.info,
) -> str | None:
    """Take back what an earlier run left without a smoke test, because somebody ended the run or its tasks.

    What no run has released stays: a model without a package is a person's doing.

    :param run: the address of the run that does so.
    :return: what was found and done, in a sentence or two; None where nothing was wrong.
    """
    _settle(project, sagemaker, progress)
    serving = live.read_live(project, sagemaker, lambda_client)
    good = _good(project, serving, sagemaker, lambda_client)
    found = scaling.read(project, autoscaling)
    before = found or scaling.declared(project)
    if known_good.is_same(serving, good) and endpoint_status(project, sagemaker) != "Failed":
        if (found is None and serving is None) or (found and not all(found["suspended"].values())):
            return None
        scaling.restore(project, before, autoscaling, progress)
        if found is None:
            return "The endpoint did not scale, as after an update that did not end; it scales as the project says."
        return "An earlier run had suspended the scaling of the endpoint and did not end; the endpoint scales again."
    if serving is not None:
        package = registry.find(serving["model"], registry.packages(project, sagemaker))
        if package is None:
            return f"Model {serving['model']} serves, which no run has released; it stays."
        if package.approval == "Approved" and registry.RELEASED not in package.properties:
            reason = f"Its release did not end, and no smoke test has proved it. Taken back by {run}."
            registry.decide(package.arn, "PendingManualApproval", reason, sagemaker)
    what = f"model {serving['model']}" if serving else "an endpoint that never served"
    state = roll_back(project, good, before, sagemaker, lambda_client, autoscaling, progress)
    return f"An earlier run did not end and left {what} without a smoke test. {state}"


def _good(
    project: Project, serving: dict[str, Any] | None, sagemaker: Any, lambda_client: Any
) -> dict[str, Any] | None:
    """The last good release as far as it can serve: without its function where somebody has deleted that."""
    good = known_good.read(project, sagemaker, lambda_client)
    if good and serving and serving["function_version"] is None:  # a release makes it again
        return {**good, "function_version": None}
    return good


def cause(failures: dict[str, str]) -> str:
    """Why a release failed, in a sentence or more.

    :param failures: the failed tasks, each with its cause.
    """
    return " ".join(f"{task} failed: {reason.rstrip('.')}." for task, reason in failures.items())


def _return_to(
    project: Project,
    before: dict[str, Any],
    sagemaker: Any,
    autoscaling: Any,
    progress: Callable[[str], None],
) -> None:
    name, wanted = endpoint_name(project), before["endpoint_config"]
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    if endpoint["EndpointConfigName"] == wanted and endpoint["EndpointStatus"] == "InService":
        return
    progress(f"Endpoint {name} goes back to configuration {wanted}.")
    if (
        endpoint["EndpointStatus"] == "Failed"
    ):  # which can't be updated, and serves nothing that could be lost
        sagemaker.delete_endpoint(EndpointName=name)
        _settle(project, sagemaker, progress)
        tags = known_good.tags(project, before)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=wanted, Tags=tags)
    else:
        scaling.deregister_for(project, wanted, sagemaker, autoscaling, progress)
        # All at once, and whatever the alarms say: what serves now is what has to go.
        sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=wanted, RetainAllVariantProperties=True
        )
    _settle(project, sagemaker, progress)
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    if endpoint["EndpointStatus"] != "InService" or endpoint["EndpointConfigName"] != wanted:
        raise RollbackError(
            f"Endpoint {name} is {endpoint['EndpointStatus']} with configuration {endpoint['EndpointConfigName']}, "
            f"not {wanted}: {endpoint.get('FailureReason', 'no reason given')}"
        )


def _remove(project: Project, sagemaker: Any, lambda_client: Any, autoscaling: Any) -> None:
    """Delete function, scalable target and endpoint, as far as they are there, in the order that AWS wants."""
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.delete_function(FunctionName=function_name(project))
    scaling.deregister(project, autoscaling)
    if endpoint_status(project, sagemaker):
        sagemaker.delete_endpoint(EndpointName=endpoint_name(project))


def _settle(project: Project, sagemaker: Any, progress: Callable[[str], None]) -> None:
    """Wait until the endpoint can be changed, or is gone: what is under way refuses any other change."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (status := endpoint_status(project, sagemaker)) in (
        "Creating",
        "Updating",
        "SystemUpdating",
        "RollingBack",
        "Deleting",
    ):
        if time.monotonic() > deadline:
            raise RollbackError(
                f"Endpoint {endpoint_name(project)} is still {status} after {WAIT_SECONDS // 60} minutes."
            )
        progress(f"Endpoint {endpoint_name(project)} is {status}.")
        time.sleep(project.poll_seconds)
