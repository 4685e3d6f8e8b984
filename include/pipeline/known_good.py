"""The release that an undo goes back to: the last one that has passed its smoke test.

A release that has passed notes itself on the endpoint, as tags. What a run found at its start is no guide: after Clear,
the task that looked does not look again, and another run may have released something since. The tags go with the
endpoint, so that after a teardown there is nothing to go back to.
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
from include.pipeline.settings import Project


def read(project: Project, sagemaker: Any, lambda_client: Any) -> dict[str, Any] | None:
    """The last release that has passed its smoke test on this endpoint, or None where there is none.

    An endpoint without a note was not made by this version of the pipeline. What it serves is good if its model
    package is, or if it has none.

    :return: in the form of :func:`include.pipeline.live.read_live`, with ``since`` (ISO; None without a note).
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
            return {**release, "since": noted.get(KNOWN_GOOD_SINCE)}
        except ClientError as error:
            if not live.is_missing(error):  # else somebody has deleted it
                raise
    serving = live.read_live(project, sagemaker, lambda_client)
    if serving is None:
        return None
    package = registry.find(serving["model"], registry.packages(project, sagemaker))
    return {**serving, "since": None} if package is None or package.is_good else None


def look(project: Project, sagemaker: Any, lambda_client: Any, autoscaling: Any) -> dict[str, Any]:
    """What a run finds at its start; notes on the endpoint what is good, where that was not done yet.

    :return: ``serving``, see :func:`include.pipeline.live.read_live`; ``good``, see :func:`read`; ``scaling``, see
        :func:`include.pipeline.scaling.read`.
    """
    good = read(project, sagemaker, lambda_client)
    if good and good["since"] is None:
        note(project, good, sagemaker)
        good = read(project, sagemaker, lambda_client)
    return {
        "serving": live.read_live(project, sagemaker, lambda_client),
        "good": good,
        "scaling": scaling.read(project, autoscaling),
    }


def scaling_of(
    project: Project,
    at_start: dict[str, Any],
    suspended: scaling.Scaling | None,
    good: dict[str, Any] | None,
    autoscaling: Any,
) -> scaling.Scaling | None:
    """How the endpoint shall scale when it goes back to the good release.

    :param at_start: what :func:`look` found. It holds for the release that was good then. If another one is good by
        now, the endpoint scales on as it does.
    :param suspended: what :func:`include.pipeline.scaling.suspend` returned in this run, which may have deregistered
        the scalable target; None if it did not come so far.
    :return: see :func:`include.pipeline.scaling.read`.
    """
    if is_same(good, at_start["good"]):
        before: scaling.Scaling | None = at_start["scaling"]
        return before
    return scaling.read(project, autoscaling) or suspended


def note(project: Project, release: dict[str, Any], sagemaker: Any) -> None:
    """Note on the endpoint that a release is good; if it is noted already, the time stays.

    :param release: in the form of :func:`include.pipeline.live.read_live`.
    """
    endpoint = live.describe_endpoint(project, sagemaker)
    if endpoint is None:
        return
    noted = live.tags(endpoint["EndpointArn"], sagemaker)
    new = tags(project, release)
    if noted.get(KNOWN_GOOD_SINCE) is None or any(
        noted.get(tag["Key"]) != tag["Value"] for tag in new if tag["Key"] != KNOWN_GOOD_SINCE
    ):
        sagemaker.add_tags(ResourceArn=endpoint["EndpointArn"], Tags=new)


def tags(project: Project, release: dict[str, Any]) -> list[dict[str, str]]:
    """The tags of an endpoint whose last good release is this one, from now on."""
    noted = {
        KNOWN_GOOD_CONFIG: release["endpoint_config"],
        KNOWN_GOOD_FUNCTION: release["function_version"] or "",
        KNOWN_GOOD_SINCE: datetime.now(UTC).isoformat(),
    }
    return [*tag_list(project), *({"Key": key, "Value": value} for key, value in noted.items())]


def is_same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two releases have the same endpoint configuration and version of the function."""
    keys = ("endpoint_config", "function_version")
    return (one and [one[key] for key in keys]) == (other and [other[key] for key in keys])


def superseded(
    project: Project, good_at_start: dict[str, Any] | None, model: str, sagemaker: Any, lambda_client: Any
) -> str | None:
    """Why a run must not release its model any more, in a sentence, or None where it may.

    A run that is cleared continues where it was, whatever has been released since.

    :param good_at_start: what :func:`read` found when the run decided about its model.
    """
    good = read(project, sagemaker, lambda_client)
    if good is None or good["model"] == model:
        return None
    # The time tells a release that was good at the start from one that has come back since, by a rollback for example.
    if good_at_start and all(good[key] == good_at_start[key] for key in ("model", "since")):
        return None
    return (
        f"{good['model']} went live after this run had decided about {model}; it stays live. Start a new run, which "
        "compares with it."
    )
