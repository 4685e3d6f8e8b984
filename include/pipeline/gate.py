"""The gate: whether a candidate may replace the live model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from include.pipeline.names import split_s3_uri
from include.pipeline.settings import Gate


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is accepted, and why, in one sentence."""

    accepted: bool
    reason: str


DETAILS = ("per_class", "confusion", "mistakes", "worst_classes", "reliability")


def read_evaluation(uri: str, s3: Any) -> dict[str, Any]:
    """The content of ``evaluation.json``.

    :param uri: the S3 prefix that the evaluation job wrote to.
    """
    bucket, key = split_s3_uri(f"{uri}/evaluation.json")
    evaluation: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return evaluation


def without_details(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's figures, without what grows with classes and images and so stays in S3."""
    models = {
        name: evaluation[name]
        and {key: value for key, value in evaluation[name].items() if key not in DETAILS}
        for name in ("candidate", "live")
    }
    return {**evaluation, **models}


def decide(evaluation: dict[str, Any], gate: Gate) -> Decision:
    """Compare candidate and live model, both judged on the same test images.

    :param evaluation: the content of ``evaluation.json``.
    """
    candidate = evaluation["candidate"]["accuracy"]
    if candidate < gate.min_accuracy:
        return Decision(
            False, f"The candidate's accuracy {candidate:.3f} is below the floor of {gate.min_accuracy:.3f}."
        )
    live = evaluation.get("live")
    if live is None:
        return Decision(True, f"The candidate's accuracy is {candidate:.3f}, and no model is live yet.")
    if "incomparable" in live:
        return Decision(
            True,
            f"The candidate's accuracy is {candidate:.3f}; the live model can't be compared: {live['incomparable']}",
        )
    needed = live["accuracy"] + gate.margin
    noise = _noise(evaluation.get("difference"))
    comparison = (
        f"accuracy {candidate:.3f} against the live model's {live['accuracy']:.3f}"
        f"{f' plus a margin of {gate.margin:.3f}' if gate.margin else ''}"
    )
    if candidate < needed:
        return Decision(False, f"The candidate is worse: {comparison}.{noise}")
    return Decision(True, f"The candidate is as good or better: {comparison}.{noise}")


def _noise(difference: dict[str, Any] | None) -> str:
    """A sentence on whether the difference could be chance: it informs, and decides nothing."""
    if difference is None:
        return ""
    low, high = difference["interval"]
    verdict = "is more than noise" if difference["significant"] else "may be noise"
    return f" The difference {verdict} ({difference['confidence']:.0%} interval {low:+.3f} to {high:+.3f})."
