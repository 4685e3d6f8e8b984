"""Undo a release: return the function's alias and the endpoint to the last good release."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.pipeline import function_alias, known_good, live, registry, scaling
from include.pipeline.live import endpoint_status
from include.pipeline.names import endpoint_name, function_name
from include.pipeline.results import GoodRelease, LiveRelease, Scaling
from include.pipeline.settings import Project
from include.pipeline.waiting import WAIT_SECONDS, Pending, StepState

log = logging.getLogger(__name__)


class RollbackError(RuntimeError):
    """Raised if a rollback does not succeed; the message has the state of the endpoint."""


class Target(BaseModel):
    """What a rollback returns to.

    :param release: the last good release; None to delete the endpoint and the function.
    :param scaling: the scaling to restore.
    """

    model_config = ConfigDict(frozen=True)

    release: GoodRelease | LiveRelease | None
    scaling: Scaling | None


class _Finding(BaseModel):
    """What an interrupted run has left: a sentence if nothing is to be rolled back, otherwise the target."""

    model_config = ConfigDict(frozen=True)

    sentence: str | None = None
    target: Target | None = None


def keep_target(project: Project, state: StepState, sagemaker: Any, find: Callable[[], Target]) -> Target:
    """Return the target of a rollback, which is found before the rollback changes anything.

    A failed endpoint is deleted and created again. In between, its tags do not exist, by which the target is found.
    """

    def choose() -> Any:
        target = state.earlier("target")
        return target if _is_between(project, target, state, sagemaker) else find().model_dump(mode="json")

    return Target.model_validate(state.once("target", choose))


def _is_between(project: Project, target: Any, state: StepState, sagemaker: Any) -> bool:
    """Return whether an earlier try has deleted the endpoint and not created it again."""
    if not target or not target["release"] or not state.earlier("replace"):
        return False
    if endpoint_status(project, sagemaker) not in (None, "Deleting"):
        return False
    return scaling.instance_type(target["release"]["endpoint_config"], sagemaker) is not None


def roll_back(
    project: Project,
    before: LiveRelease | None,
    scaling_before: Scaling | None,
    sagemaker: Any,
    lambda_client: Any,
    autoscaling: Any,
    state: StepState,
    progress: Callable[[str], None] = log.info,
) -> str:
    """Go back to the last good release.

    Without a good release, delete the endpoint and the function, because a failed model must not stay live.

    :param before: the last good release, see :func:`include.pipeline.known_good.read`.
    :param scaling_before: the scaling to restore.
    :return: what was done, in one sentence.
    :raises Pending: while the endpoint or the alias is changing. Call it again with the same arguments.
    :raises RollbackError: if the endpoint is not in service with the earlier configuration within 30 minutes.
    :raises AliasError: if the function's alias does not go back within 30 minutes.
    """
    state.once("settle", lambda: _settle(project, sagemaker, state, "an earlier change"))
    if before is None:
        state.once("remove", lambda: _remove(project, sagemaker, lambda_client, autoscaling))
        _settle(project, sagemaker, state, "its deletion")
        return "No earlier release has passed its smoke test. The endpoint and the function were deleted."
    version = before.function_version
    if version:
        state.once("move", lambda: function_alias.begin_move(project, version, lambda_client))

    def restore_scaling() -> None:
        # AWS refuses to restore the scaling of an endpoint that does not exist.
        if endpoint_status(project, sagemaker):
            scaling.restore(project, scaling_before, autoscaling, progress)

    try:
        _return_to(project, before, sagemaker, autoscaling, state, progress)
    except Pending:
        raise
    except Exception:
        restore_scaling()  # an endpoint that did not return to service must keep scaling
        raise
    state.once("scaling", restore_scaling)
    if version:
        function_alias.end_move(project, version, lambda_client, state, progress)
    return f"Model {before.model} is live again."


def unproved(project: Project, sagemaker: Any, lambda_client: Any) -> LiveRelease | None:
    """Return the live release if it has not passed a smoke test, or None.

    A model without a package is ignored: not a run but a person has deployed it.
    """
    serving = live.read_live(project, sagemaker, lambda_client)
    if serving is None or known_good.is_same(serving, _good(project, serving, sagemaker, lambda_client)):
        return None
    package = registry.find(serving.model, registry.packages(project, sagemaker))
    return serving if package else None


def take_back_unproved(
    project: Project,
    run: str,
    sagemaker: Any,
    lambda_client: Any,
    autoscaling: Any,
    state: StepState,
    progress: Callable[[str], None] = log.info,
) -> str | None:
    """Roll back a release that an interrupted run left without a smoke test.

    A model without a package stays: not a run but a person has deployed it.

    :param run: the URL of the run that rolls back.
    :return: what was found and done, in one or two sentences; None if nothing was wrong.
    :raises Pending: see :func:`roll_back`.
    """
    state.once("settle", lambda: _settle(project, sagemaker, state, "an earlier change"))

    def find() -> Any:
        earlier = state.earlier("finding") or {}
        if _is_between(project, earlier.get("target"), state, sagemaker):
            return earlier
        kept = _Finding.model_validate(earlier)
        found = _find_unproved(project, run, kept, sagemaker, lambda_client, autoscaling, progress)
        return found.model_dump(mode="json")

    found = _Finding.model_validate(state.once("finding", find))
    if found.target is None:
        return found.sentence
    release, before = found.target.release, found.target.scaling
    outcome = roll_back(project, release, before, sagemaker, lambda_client, autoscaling, state, progress)
    return f"{found.sentence} {outcome}"


def _find_unproved(
    project: Project,
    run: str,
    kept: _Finding,
    sagemaker: Any,
    lambda_client: Any,
    autoscaling: Any,
    progress: Callable[[str], None],
) -> _Finding:
    """Return what an interrupted run has left; resume scaling, and withdraw the approval of an untested release.

    :param kept: what an earlier try has found, which may have ended before it restored the scaling.
    """
    serving = live.read_live(project, sagemaker, lambda_client)
    good = _good(project, serving, sagemaker, lambda_client)
    found = scaling.read(project, autoscaling)
    target = kept.target
    returned = bool(target and target.release and serving and target.release.model == serving.model)
    before = found or (target.scaling if target and returned else None) or scaling.declared(project)
    if known_good.is_same(serving, good) and endpoint_status(project, sagemaker) != "Failed":
        is_whole = (found is None and serving is None) or (found and not found.is_suspended)
        if not is_whole:
            scaling.restore(project, before, autoscaling, progress)
        if serving and returned:
            return _Finding(sentence=f"{kept.sentence} Model {serving.model} is live again.")
        if is_whole:
            return _Finding()
        if found is None:
            return _Finding(
                sentence="The endpoint had no scaling, as after an unfinished update. It now has the project's scaling."
            )
        return _Finding(
            sentence="An earlier, unfinished run had suspended the scaling of the endpoint. The scaling was resumed."
        )
    if serving is not None:
        package = registry.find(serving.model, registry.packages(project, sagemaker))
        if package is None:
            return _Finding(sentence=f"Model {serving.model} is live, but no run has released it. It stays.")
        if package.approval == "Approved" and registry.RELEASED not in package.properties:
            reason = f"Its release did not finish, and it has not passed a smoke test. Rolled back by {run}."
            registry.set_approval(package.arn, "PendingManualApproval", reason, sagemaker)
    what = f"model {serving.model}" if serving else "an endpoint that never was in service"
    return _Finding(
        sentence=f"An earlier run did not finish and left {what} without a smoke test.",
        target=Target(release=good, scaling=before),
    )


def _good(
    project: Project, serving: LiveRelease | None, sagemaker: Any, lambda_client: Any
) -> GoodRelease | None:
    """Return the last good release, without the function version if somebody has deleted the function."""
    good = known_good.read(project, sagemaker, lambda_client)
    if good and serving and serving.function_version is None:  # the next release creates it again
        return good.model_copy(update={"function_version": None})
    return good


def cause(failures: dict[str, str]) -> str:
    """Return why a release failed, as text.

    :param failures: the cause of each failed task.
    """
    return " ".join(f"{task} failed: {reason.rstrip('.')}." for task, reason in failures.items())


def _return_to(
    project: Project,
    before: LiveRelease,
    sagemaker: Any,
    autoscaling: Any,
    state: StepState,
    progress: Callable[[str], None],
) -> None:
    name, wanted = endpoint_name(project), before.endpoint_config

    def is_replaced() -> bool | None:
        """Return whether the endpoint has to be created again; None if nothing has to be done."""
        if state.earlier("replace") and not endpoint_status(project, sagemaker):
            return True
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        if endpoint["EndpointConfigName"] == wanted and endpoint["EndpointStatus"] == "InService":
            return None
        progress(f"Endpoint {name} goes back to configuration {wanted}.")
        replaced: bool = endpoint["EndpointStatus"] == "Failed"
        return replaced

    replace = state.once("replace", is_replaced)
    if replace is None:
        return

    def change() -> None:
        if replace:
            # A failed endpoint can't be updated. It serves no requests, so it can be deleted.
            if endpoint_status(project, sagemaker) == "Failed":
                sagemaker.delete_endpoint(EndpointName=name)
            _settle(project, sagemaker, state, "its deletion")
            tags = known_good.tags(project, before)
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=wanted, Tags=tags)
            return
        scaling.deregister_for(project, wanted, sagemaker, autoscaling, progress)
        # All at once and without alarms, because the release that is live now has failed.
        sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=wanted, RetainAllVariantProperties=True
        )

    state.once("change", change)
    _settle(project, sagemaker, state, "its change")
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    if endpoint["EndpointStatus"] != "InService" or endpoint["EndpointConfigName"] != wanted:
        raise RollbackError(
            f"Endpoint {name} is {endpoint['EndpointStatus']} with configuration {endpoint['EndpointConfigName']}, "
            f"not {wanted}: {endpoint.get('FailureReason', 'no reason given')}"
        )


def _remove(project: Project, sagemaker: Any, lambda_client: Any, autoscaling: Any) -> None:
    """Delete function, scalable target and endpoint, if they exist, in the order that AWS requires."""
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.delete_function(FunctionName=function_name(project))
    scaling.deregister(project, autoscaling)
    if endpoint_status(project, sagemaker):
        sagemaker.delete_endpoint(EndpointName=endpoint_name(project))


def _settle(project: Project, sagemaker: Any, state: StepState, what: str) -> None:
    """Wait until the endpoint can be changed or is deleted. During an operation, AWS refuses any other change.

    :param what: the change that is waited for.
    """
    name, status = endpoint_name(project), endpoint_status(project, sagemaker)
    if status in ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"):
        error = f"Endpoint {name} is still {status} after {WAIT_SECONDS // 60} minutes."
        state.wait(
            f"endpoint {name}: {what}", RollbackError(error), WAIT_SECONDS, f"Endpoint {name} is {status}."
        )
