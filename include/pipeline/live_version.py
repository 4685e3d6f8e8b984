"""The live version in one sentence: which one, since when, and its accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.pipeline import known_good, live, registry
from include.pipeline.registry import ModelVersion
from include.pipeline.settings import Project


@dataclass(frozen=True)
class LiveVersion:
    """The live model.

    :param package: its model package; None if the model was never registered.
    :param since: when it passed its smoke test, or passed it again after a rollback; None if not known.
    """

    model: str
    package: ModelVersion | None
    since: datetime | None


def read(project: Project, sagemaker: Any, lambda_client: Any) -> LiveVersion | None:
    """Return the live model, or None."""
    serving = live.read_live(project, sagemaker, lambda_client)
    if serving is None:
        return None
    good = known_good.read(project, sagemaker, lambda_client)
    since = good.since if good and good.model == serving.model else None
    package = registry.find(serving.model, registry.packages(project, sagemaker))
    return LiveVersion(serving.model, package, datetime.fromisoformat(since) if since else None)


def sentence(
    found: LiveVersion | None, at: datetime, *, rejected: int | None = None, unchanged: bool = False
) -> str:
    """Return the state at the end of a run.

    For example ``Version 1 is live since 16:20 UTC, accuracy 0.925 (0.880 to 0.954).``

    :param at: the time of the sentence. The date is added if the model went live on another day.
    :param rejected: the version of the run's candidate, if it does not go live.
    :param unchanged: whether the run made no candidate because nothing has changed.
    """
    before = ""
    if rejected is not None:
        before = f"Version {rejected} was rejected. "
    elif unchanged:
        before = "Nothing has changed. "
    if found is None:
        return f"{before}No model is live."
    verb = "stays live" if before else "is live"
    return f"{before}{_name(found)} {verb}{_since(found, at)}{_accuracy(found)}."


def _name(found: LiveVersion) -> str:
    return f"Version {found.package.version}" if found.package else f"Model {found.model}"


def _since(found: LiveVersion, at: datetime) -> str:
    if found.since is None:
        return ""
    since = found.since.astimezone(UTC)
    day = "" if since.date() == at.astimezone(UTC).date() else f"{since:%Y-%m-%d} "
    return f" since {day}{since:%H:%M} UTC"


def _accuracy(found: LiveVersion) -> str:
    properties = found.package.properties if found.package else {}
    try:
        accuracy, low, high = (
            float(properties[key]) for key in ("accuracy", "accuracy_low", "accuracy_high")
        )
    except KeyError:
        return ""
    return f", accuracy {accuracy:.3f} ({low:.3f} to {high:.3f})"
