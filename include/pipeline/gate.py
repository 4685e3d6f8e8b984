"""The gate: whether a candidate may replace the live model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from include.pipeline.names import split_s3_uri
from include.pipeline.settings import Gate


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is accepted, and why: a sentence, or one for each rule that it breaks."""

    accepted: bool
    reason: str


@dataclass(frozen=True)
class Doubt:
    """What a gate can't judge without a person: a sentence, whether it is allowed all the same, and a remedy."""

    sentence: str
    allowed: bool
    remedy: str


METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "top5_accuracy": "top-5 accuracy"}
"""What a person reads for ``gate.metric``."""
MEGABYTE = 1_000_000
NAMED_CLASSES = 5
NAMED_CHANGES = 10
ALLOWANCES = ("allow_removed_classes", "allow_incomparable")
"""The keys of the gate that the form of a run can change."""
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


def class_changes(evaluation: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The classes that the live model has and the candidate lacks, and those that only the candidate has.

    A renamed class is one of each. Both are empty if no model is live, or its classes are not known.

    :param evaluation: the content of ``evaluation.json``, which may lack what is large.
    """
    live = (evaluation.get("live") or {}).get("classes")
    if live is None:
        return [], []
    ours: list[str] = evaluation["classes"]
    return [label for label in live if label not in ours], [label for label in ours if label not in live]


def decide(evaluation: dict[str, Any], gate: Gate, *, asked: bool, is_live: bool = False) -> Decision:
    """Hold a candidate to every rule of the project's gate.

    The floor and the ceilings are for every candidate. Where a model is live that was judged on the same test images,
    the candidate has to be as good as that one, too. What can't be judged, such as a candidate that lacks classes of
    the live model, is left to a person, and refused if nobody is asked. The live model itself is not compared with
    itself, and is not left to anybody: it serves already.

    :param evaluation: the content of ``evaluation.json``.
    :param asked: whether a person decides on the candidate after the gate.
    :param is_live: whether the candidate is the live model.
    """
    candidate, live = evaluation["candidate"], evaluation.get("live") or {}
    comparable = live and "incomparable" not in live and not is_live
    broken = [
        *_floor_and_ceilings(evaluation, gate),
        *(_against_live(evaluation, gate) if comparable else []),
    ]
    noise = _noise(evaluation.get("difference")) if comparable and gate.metric == "accuracy" else ""
    doubts = [] if is_live else list(_doubts(evaluation, gate))
    doubtful = "".join(f" {doubt.sentence}" for doubt in doubts)
    if broken:
        return Decision(False, " ".join(broken) + noise + doubtful)
    figure = f"{METRICS[gate.metric]} is {candidate[gate.metric]:.3f} {_basis(evaluation, gate)}"
    if is_live:
        judgment = f"The candidate is identical to the live model. Its {figure}."
    elif comparable:
        judgment = f"The candidate is as good or better: {_comparison(evaluation, gate)}.{noise}"
    elif live:
        judgment = f"The candidate's {figure}."
    else:
        judgment = f"The candidate's {figure}, and no other model was live."
    remedies = [doubt.remedy for doubt in doubts if not doubt.allowed]
    if remedies and not asked:
        return Decision(
            False,
            f"Only a person can release this candidate, and this run asks nobody.{doubtful} {judgment} "
            f"To release it, start a run with require_approval and approve it, or {' and '.join(remedies)}.",
        )
    return Decision(True, judgment + doubtful)


def _doubts(evaluation: dict[str, Any], gate: Gate) -> Iterator[Doubt]:
    incomparable = (evaluation.get("live") or {}).get("incomparable")
    removed, added = class_changes(evaluation)
    new = f" Its new classes: {_named(added)}." if added else ""
    if removed:
        yield Doubt(
            f"The candidate lacks {len(removed)} of the live model's classes: {_named(removed)}.{new}",
            gate.allow_removed_classes,
            _allow("allow_removed_classes"),
        )
    elif incomparable:
        yield Doubt(
            f"The live model can't be compared with the candidate: {incomparable.rstrip('.')}.{new}",
            gate.allow_incomparable,
            _allow("allow_incomparable"),
        )
    images = evaluation["images"]
    if images >= gate.min_test_images or not gate.floor:
        return
    few = f"There are only {images} test images, fewer than {gate.min_test_images} (gate.min_test_images)"
    if gate.metric != "accuracy":
        name = METRICS[gate.metric]
        yield Doubt(
            f"{few}: too few to hold the {name} against the floor of {gate.floor:.3f} (gate.floor).",
            False,
            "add test images",
        )
    elif (low := evaluation["candidate"]["accuracy_interval"][0]) < gate.floor:
        yield Doubt(
            f"{few}, so the lower end of the interval counts: {low:.3f} is below the floor of {gate.floor:.3f} "
            "(gate.floor).",
            False,
            "add test images",
        )


def _allow(key: str) -> str:
    return f"set {key} in the run's form or gate.{key} in the project file"


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - NAMED_CHANGES} more" if len(labels) > NAMED_CHANGES else ""
    return ", ".join(labels[:NAMED_CHANGES]) + more


def _basis(evaluation: dict[str, Any], gate: Gate) -> str:
    """On what a candidate's figure rests: the number of test images, and the interval of an accuracy."""
    images = f"on {evaluation['images']} test images"
    if gate.metric != "accuracy":
        return images
    low, high = evaluation["candidate"]["accuracy_interval"]
    return f"{images} (the candidate's 95% interval: {low:.3f} to {high:.3f})"


def _floor_and_ceilings(evaluation: dict[str, Any], gate: Gate) -> Iterator[str]:
    candidate = evaluation["candidate"]
    value = candidate[gate.metric]
    if value < gate.floor:
        yield (
            f"The candidate's {METRICS[gate.metric]} {value:.3f} is below the floor of {gate.floor:.3f} (gate.floor), "
            f"{_basis(evaluation, gate)}."
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


def _against_live(evaluation: dict[str, Any], gate: Gate) -> Iterator[str]:
    candidate, live = evaluation["candidate"], evaluation["live"]
    if candidate[gate.metric] < live[gate.metric] + gate.margin:
        yield f"The candidate is worse: {_comparison(evaluation, gate)}."
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


def _comparison(evaluation: dict[str, Any], gate: Gate) -> str:
    ours, theirs = (evaluation[model][gate.metric] for model in ("candidate", "live"))
    margin = f" plus a margin of {gate.margin:.3f}" if gate.margin else ""
    name, basis = METRICS[gate.metric], _basis(evaluation, gate)
    return f"{name} {ours:.3f} against the live model's {theirs:.3f}{margin}, {basis}"


def _noise(difference: dict[str, Any] | None) -> str:
    """A sentence on whether the difference could be chance: it informs, and decides nothing."""
    if difference is None:
        return ""
    if difference["only_candidate_right"] == difference["only_live_right"] == 0:
        return " Both models are right about the same test images."
    low, high = difference["interval"]
    verdict = "is more than noise" if difference["significant"] else "may be noise"
    return f" The difference {verdict} ({difference['confidence']:.0%} interval {low:+.3f} to {high:+.3f})."
