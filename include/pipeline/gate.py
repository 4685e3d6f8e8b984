"""The gate: whether a candidate may replace the live model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.pipeline.settings import Gate


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is accepted, and why, in one sentence."""

    accepted: bool
    reason: str


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
    comparison = (
        f"accuracy {candidate:.3f} against the live model's {live['accuracy']:.3f}"
        f"{f' plus a margin of {gate.margin:.3f}' if gate.margin else ''}"
    )
    if candidate < needed:
        return Decision(False, f"The candidate is worse: {comparison}.")
    return Decision(True, f"The candidate is as good or better: {comparison}.")
