"""The last good release: the last one that passed its smoke test, which a failed release is rolled back to.

A release that passes is recorded in tags of the endpoint. The state at the start of a run is not reliable: after Clear,
the task that read it does not run again, and another run may have released something since. The tags are deleted with
the endpoint, so that after a teardown there is no release to go back to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import live, registry, scaling
from include.pipeline.names import (
    KNOWN_GOOD_CONFIG,
    KNOWN_GOOD_FUNCTION,
    KNOWN_GOOD_SINCE,
    NO_GOOD_RELEASE,
    tag_list,
)
from include.pipeline.results import GoodRelease, LiveRelease, ReleaseState, Scaling
from include.pipeline.settings import Project


def read(project: Project, sagemaker: Any, lambda_client: Any) -> GoodRelease | None:
    """Return the last release that passed its smoke test on this endpoint, or None if there was none.

    An endpoint without the tags was not created by this version of the pipeline. Its release is good if the model
    package is good or does not exist, and the time is None.
    """
    endpoint = live.describe_endpoint(project, sagemaker)
    if endpoint is None:
        return None
    noted = live.tags(endpoint["EndpointArn"], sagemaker)
    config = noted.get(KNOWN_GOOD_CONFIG)
    if config == NO_GOOD_RELEASE["Value"]:
        return None
    if config:
        try:
            release = live.describe_release(config, noted.get(KNOWN_GOOD_FUNCTION) or None, sagemaker)
            return GoodRelease(**release.model_dump(), since=noted.get(KNOWN_GOOD_SINCE))
        except ClientError as error:
            if not live.is_missing(error):  # otherwise, somebody has deleted it
                raise
    serving = live.read_live(project, sagemaker, lambda_client)
    if serving is None:
        return None
    package = registry.find(serving.model, registry.packages(project, sagemaker))
    if package is not None and not package.is_good:
        return None
    return GoodRelease(**serving.model_dump(), since=None)


def read_state(project: Project, sagemaker: Any, lambda_client: Any, autoscaling: Any) -> ReleaseState:
    """Return the state of the release at the start of a run; record the good release if the endpoint lacks the tags."""
    good = read(project, sagemaker, lambda_client)
    if good and good.since is None:
        note(project, good, sagemaker)
        good = read(project, sagemaker, lambda_client)
    return ReleaseState(
        serving=live.read_live(project, sagemaker, lambda_client),
        good=good,
        scaling=scaling.read(project, autoscaling),
    )


def scaling_of(
    project: Project,
    at_start: ReleaseState,
    suspended: Scaling | None,
    good: LiveRelease | None,
    autoscaling: Any,
) -> Scaling | None:
    """Return how the endpoint has to scale when it goes back to the good release.

    :param at_start: the result of :func:`read_state`. It applies to the release that was good then. If another release
        is good now, the endpoint keeps its current scaling.
    :param suspended: the result of :func:`include.pipeline.scaling.suspend` in this run, which may have deregistered
        the scalable target; None if the run did not get that far.
    """
    if is_same(good, at_start.good):
        return at_start.scaling
    return scaling.read(project, autoscaling) or suspended


def note(project: Project, release: LiveRelease, sagemaker: Any) -> None:
    """Record in tags of the endpoint that a release is good. If it is already recorded, the time stays."""
    endpoint = live.describe_endpoint(project, sagemaker)
    if endpoint is None:
        return
    noted = live.tags(endpoint["EndpointArn"], sagemaker)
    new = tags(project, release)
    if noted.get(KNOWN_GOOD_SINCE) is None or any(
        noted.get(tag["Key"]) != tag["Value"] for tag in new if tag["Key"] != KNOWN_GOOD_SINCE
    ):
        sagemaker.add_tags(ResourceArn=endpoint["EndpointArn"], Tags=new)


def tags(project: Project, release: LiveRelease) -> list[dict[str, str]]:
    """Return the tags of an endpoint whose last good release is this one, from now on."""
    noted = {
        KNOWN_GOOD_CONFIG: release.endpoint_config,
        KNOWN_GOOD_FUNCTION: release.function_version or "",
        KNOWN_GOOD_SINCE: datetime.now(UTC).isoformat(),
    }
    return [*tag_list(project), *({"Key": key, "Value": value} for key, value in noted.items())]


def is_same(one: LiveRelease | None, other: LiveRelease | None) -> bool:
    """Return whether two releases have the same endpoint configuration and version of the function."""
    if one is None or other is None:
        return one is other
    return (one.endpoint_config, one.function_version) == (other.endpoint_config, other.function_version)


def superseded(
    project: Project, good_at_start: GoodRelease | None, model: str, sagemaker: Any, lambda_client: Any
) -> str | None:
    """Return why a run must no longer release its model, as text, or None if it may.

    A cleared run continues where it was, even if another model has been released since.

    :param good_at_start: the result of :func:`read` when the run decided about its model.
    """
    good = read(project, sagemaker, lambda_client)
    if good is None or good.model == model:
        return None
    # The time distinguishes a release that was good at the start from one that is live again, after a rollback say.
    if good_at_start and (good.model, good.since) == (good_at_start.model, good_at_start.since):
        return None
    return (
        f"{good.model} went live after this run had decided about {model}, and stays live. Start a new run, which "
        "compares its model with the live one."
    )
