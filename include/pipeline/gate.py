"""The gate: whether a candidate may replace the live model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from include.pipeline.names import split_s3_uri
from include.pipeline.settings import Gate


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is accepted, and why: a sentence, or one for each rule that it breaks."""

    accepted: bool
    reason: str


METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "top5_accuracy": "top-5 accuracy"}
"""What a person reads for ``gate.metric``."""
MEGABYTE = 1_000_000
NAMED_CLASSES = 5
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
    """Hold a candidate to every rule of the project's gate.

    The floor and the ceilings are for every candidate. Where a model is live that was judged on the same test images,
    the candidate has to be as good as that one, too.

    :param evaluation: the content of ``evaluation.json``.
    """
    candidate, live = evaluation["candidate"], evaluation.get("live") or {}
    comparable = live and "incomparable" not in live
    broken = [
        *_floor_and_ceilings(candidate, gate),
        *(_against_live(candidate, live, gate) if comparable else []),
    ]
    noise = _noise(evaluation.get("difference")) if gate.metric == "accuracy" else ""
    if broken:
        return Decision(False, " ".join(broken) + noise)
    name, value = METRICS[gate.metric], candidate[gate.metric]
    if not live:
        return Decision(True, f"The candidate's {name} is {value:.3f}, and no model is live yet.")
    if not comparable:
        return Decision(
            True,
            f"The candidate's {name} is {value:.3f}; the live model can't be compared: {live['incomparable']}",
        )
    return Decision(True, f"The candidate is as good or better: {_comparison(candidate, live, gate)}.{noise}")


def _floor_and_ceilings(candidate: dict[str, Any], gate: Gate) -> Iterator[str]:
    value = candidate[gate.metric]
    if value < gate.floor:
        yield (
            f"The candidate's {METRICS[gate.metric]} {value:.3f} is below the floor of {gate.floor:.3f} (gate.floor)."
        )
    if gate.max_latency_ms is not None and candidate["milliseconds_p95"] > gate.max_latency_ms:
        yield (
            f"The candidate takes {candidate['milliseconds_p95']:.0f} ms for an image at the 95th percentile; at most "
            f"{gate.max_latency_ms:g} ms are allowed (gate.max_latency_ms)."
        )
    size = candidate["size_bytes"] / MEGABYTE
    if gate.max_size_mb is not None and size > gate.max_size_mb:
        yield (
            f"The candidate's model.tar.gz has {size:.1f} MB; at most {gate.max_size_mb:g} MB are allowed "
            "(gate.max_size_mb)."
        )


def _against_live(candidate: dict[str, Any], live: dict[str, Any], gate: Gate) -> Iterator[str]:
    if candidate[gate.metric] < live[gate.metric] + gate.margin:
        yield f"The candidate is worse: {_comparison(candidate, live, gate)}."
    if gate.max_class_drop is not None:
        drops = sorted(
            _class_drops(candidate, live, gate.max_class_drop, gate.min_class_images), reverse=True
        )
        if drops:
            named = ", ".join(
                f"{label} (from {before:.3f} to {after:.3f})"
                for _, label, before, after in drops[:NAMED_CLASSES]
            )
            more = f" and {len(drops) - NAMED_CLASSES} more" if len(drops) > NAMED_CLASSES else ""
            yield (
                f"Recall falls by more than {gate.max_class_drop:.3f} (gate.max_class_drop) in {len(drops)} of "
                f"{len(candidate['per_class'])} classes: {named}{more}."
            )


def _class_drops(
    candidate: dict[str, Any], live: dict[str, Any], limit: float, min_images: int
) -> Iterator[tuple[float, str, float, float]]:
    """By how much, of which class, from and to which recall: only those that fall too far."""
    for label, found in candidate["per_class"].items():
        before, after = live["per_class"][label]["recall"], found["recall"]
        # A hair more than the limit is a rounding error: 0.9 - 0.8 is more than 0.1.
        if found["images"] >= min_images and before - after > limit + 1e-9:
            yield before - after, label, before, after


def _comparison(candidate: dict[str, Any], live: dict[str, Any], gate: Gate) -> str:
    ours, theirs = candidate[gate.metric], live[gate.metric]
    margin = f" plus a margin of {gate.margin:.3f}" if gate.margin else ""
    return f"{METRICS[gate.metric]} {ours:.3f} against the live model's {theirs:.3f}{margin}"


def _noise(difference: dict[str, Any] | None) -> str:
    """A sentence on whether the difference could be chance: it informs, and decides nothing."""
    if difference is None:
        return ""
    low, high = difference["interval"]
    verdict = "is more than noise" if difference["significant"] else "may be noise"
    return f" The difference {verdict} ({difference['confidence']:.0%} interval {low:+.3f} to {high:+.3f})."
