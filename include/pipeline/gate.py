"""The gate: decide whether a candidate may replace the live model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from include.classifier.image_classifier.metric_table import BY_KEY, METRICS
from include.pipeline.names import split_s3_uri
from include.pipeline.results import Difference, Evaluation, ModelFigures
from include.pipeline.settings import Gate


@dataclass(frozen=True)
class Decision:
    """The decision on a candidate, with its reason: one sentence, or one for each rule that the candidate violates."""

    accepted: bool
    reason: str


@dataclass(frozen=True)
class Doubt:
    """A point that only a person can decide: a sentence, whether the project allows it, and a remedy."""

    sentence: str
    allowed: bool
    remedy: str


NAMED_CLASSES = 5
NAMED_CHANGES = 10
ALLOWANCES = ("allow_removed_classes", "allow_incomparable")
"""The keys of the gate that are also params of a run."""


def read_evaluation(uri: str, s3: Any) -> Evaluation:
    """Return the content of ``evaluation.json``.

    :param uri: the S3 prefix that the evaluation job wrote to.
    """
    bucket, key = split_s3_uri(f"{uri}/evaluation.json")
    return Evaluation.model_validate(json.load(s3.get_object(Bucket=bucket, Key=key)["Body"]))


def decide(evaluation: Evaluation, gate: Gate, *, asked: bool, is_live: bool = False) -> Decision:
    """Check a candidate against every rule of the project's gate.

    The floor and the ceilings apply to every candidate. If the live model was evaluated on the same test images, the
    candidate also has to be at least as good as the live model. A person decides what can't be compared, such as a
    candidate that lacks classes of the live model; without approval, such a candidate is rejected. If the candidate is
    the live model, it is neither compared with itself nor left to a person.

    :param asked: whether a person decides on the candidate after the gate.
    :param is_live: whether the candidate is the live model.
    """
    live = None if is_live else evaluation.compared
    broken = [
        *_floor_and_ceilings(evaluation, gate),
        *(_against_live(evaluation, live, gate) if live else []),
    ]
    noise = _noise(evaluation.difference) if live and gate.metric == "accuracy" else ""
    doubts = [] if is_live else list(_doubts(evaluation, gate))
    doubtful = "".join(f" {doubt.sentence}" for doubt in doubts)
    if broken:
        return Decision(False, " ".join(broken) + noise + doubtful)
    value = _value(evaluation.candidate, gate)
    figure = f"{BY_KEY[gate.metric].phrase} is {value:.3f} {_basis(evaluation, gate)}"
    if is_live:
        judgment = f"The candidate is identical to the live model. Its {figure}."
    elif live:
        judgment = f"The candidate is as good or better: {_comparison(evaluation, live, gate)}.{noise}"
    elif evaluation.incomparable:
        judgment = f"The candidate's {figure}."
    else:
        judgment = f"The candidate's {figure}, and no other model was live."
    remedies = [doubt.remedy for doubt in doubts if not doubt.allowed]
    if remedies and not asked:
        return Decision(
            False,
            f"This candidate needs approval, but this run does not require approval.{doubtful} {judgment} "
            f"To release it, start a run with require_approval and approve it, or {' and '.join(remedies)}.",
        )
    return Decision(True, judgment + doubtful)


def _doubts(evaluation: Evaluation, gate: Gate) -> Iterator[Doubt]:
    removed, added = evaluation.class_changes
    new = f" Its new classes: {_named(added)}." if added else ""
    if removed:
        yield Doubt(
            f"The candidate lacks {len(removed)} of the live model's classes: {_named(removed)}.{new}",
            gate.allow_removed_classes,
            _allow("allow_removed_classes"),
        )
    elif evaluation.incomparable:
        reason = evaluation.incomparable.incomparable.rstrip(".")
        yield Doubt(
            f"The live model can't be compared with the candidate: {reason}.{new}",
            gate.allow_incomparable,
            _allow("allow_incomparable"),
        )
    images = evaluation.images
    if images >= gate.min_test_images or not gate.floor:
        return
    few = f"The data set has only {images} test images, fewer than {gate.min_test_images} (gate.min_test_images)"
    if gate.metric != "accuracy":
        name = BY_KEY[gate.metric].phrase
        yield Doubt(
            f"{few}: too few to compare the {name} with the floor of {gate.floor:.3f} (gate.floor).",
            False,
            "add test images",
        )
    elif (low := _interval(evaluation)[0]) < gate.floor:
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


def _value(figures: ModelFigures, gate: Gate) -> float:
    return figures.metrics[gate.metric]


def _interval(evaluation: Evaluation) -> tuple[float, float]:
    interval = evaluation.candidate.accuracy_interval
    assert interval is not None  # the evaluation job always writes it
    return interval


def _basis(evaluation: Evaluation, gate: Gate) -> str:
    """Return what a candidate's metric is based on: the number of test images, and the interval of an accuracy."""
    images = f"on {evaluation.images} test images"
    if gate.metric != "accuracy":
        return images
    low, high = _interval(evaluation)
    return f"{images} (the candidate's 95% interval: {low:.3f} to {high:.3f})"


def _floor_and_ceilings(evaluation: Evaluation, gate: Gate) -> Iterator[str]:
    value = _value(evaluation.candidate, gate)
    if value < gate.floor:
        yield (
            f"The candidate's {BY_KEY[gate.metric].phrase} {value:.3f} is below the floor of {gate.floor:.3f} "
            f"(gate.floor), {_basis(evaluation, gate)}."
        )
    for metric in METRICS:
        limit = getattr(gate, metric.ceiling) if metric.ceiling else None
        if limit is not None and (found := evaluation.candidate.metrics[metric.key]) / metric.divisor > limit:
            yield (
                f"The candidate's {metric.phrase} is {metric.text(found)}; at most {limit:g}{metric.unit} are allowed "
                f"(gate.{metric.ceiling})."
            )


def _against_live(evaluation: Evaluation, live: ModelFigures, gate: Gate) -> Iterator[str]:
    candidate = evaluation.candidate
    if _value(candidate, gate) < _value(live, gate) + gate.margin:
        yield f"The candidate is worse: {_comparison(evaluation, live, gate)}."
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
                f"{len(candidate.per_class)} classes: {named}{more}."
            )


def _class_drops(
    candidate: ModelFigures, live: ModelFigures, limit: float, min_images: int
) -> Iterator[tuple[float, str, float, float]]:
    """Yield the drop, the class, and the recall before and after, of each class whose recall drops too much."""
    for label, found in candidate.per_class.items():
        before, after = live.per_class[label].recall, found.recall
        # The tolerance absorbs rounding errors: 0.9 - 0.8 is greater than 0.1.
        if found.images >= min_images and before - after > limit + 1e-9:
            yield before - after, label, before, after


def _comparison(evaluation: Evaluation, live: ModelFigures, gate: Gate) -> str:
    ours, theirs = _value(evaluation.candidate, gate), _value(live, gate)
    margin = f" plus a margin of {gate.margin:.3f}" if gate.margin else ""
    name, basis = BY_KEY[gate.metric].phrase, _basis(evaluation, gate)
    return f"{name} {ours:.3f} against the live model's {theirs:.3f}{margin}, {basis}"


def _noise(difference: Difference | None) -> str:
    """Return a sentence on whether the difference is significant. It does not affect the decision."""
    if difference is None:
        return ""
    if difference.only_candidate_right == difference.only_live_right == 0:
        return " Both models are correct on the same test images."
    low, high = difference.interval
    verdict = "is significant" if difference.significant else "is not significant"
    return f" The difference {verdict} ({difference.confidence:.0%} interval {low:+.3f} to {high:+.3f})."
