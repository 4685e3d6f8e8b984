"""The gate: which candidate may replace which live model."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline.gate import decide
from include.pipeline.results import Evaluation
from include.pipeline.settings import Gate


def figures(accuracy: float, **others: Any) -> dict[str, Any]:
    """Return the metrics of one model that the gate uses."""
    return {
        "accuracy": accuracy,
        "accuracy_interval": [accuracy - 0.05, accuracy + 0.05],
        "milliseconds_p95": 40.0,
        "size_bytes": 16_000_000,
        **others,
    }


def judged(
    candidate: float,
    live: Any = None,
    images: int = 200,
    classes: Any = None,
    difference: Any = None,
    **others: Any,
) -> Evaluation:
    return Evaluation.model_validate(
        {
            "images": images,
            "classes": classes or ["owl", "wren"],
            "candidate": figures(candidate, **others),
            "difference": difference,
            "live": figures(live) if isinstance(live, float) else live,
        }
    )


@pytest.mark.parametrize(
    ("evaluation", "gate", "accepted", "reason"),
    [
        pytest.param(judged(0.5), Gate(), True, "no other model was live", id="first release"),
        pytest.param(
            judged(0.5),
            Gate(floor=0.6),
            False,
            "0.500 is below the floor of 0.600 (gate.floor), on 200 test images (the candidate's 95% interval: "
            "0.450 to 0.550).",
            id="below the floor",
        ),
        pytest.param(
            judged(0.5, macro_f1=0.7),
            Gate(metric="macro_f1", floor=0.6),
            True,
            "macro F1 is 0.700",
            id="another metric",
        ),
        pytest.param(
            judged(0.9),
            Gate(max_latency_ms=39),
            False,
            "95th percentile of the latency for an image is 40.0 ms; at most 39 ms",
            id="first, too slow",
        ),
        pytest.param(
            judged(0.9, 0.8), Gate(max_size_mb=15.9), False, "16.0 MB; at most 15.9 MB", id="too large"
        ),
        pytest.param(judged(0.9), Gate(max_latency_ms=40, max_size_mb=16), True, "", id="at the ceilings"),
        pytest.param(judged(0.9, 0.8), Gate(), True, "0.900 against the live model's 0.800", id="better"),
        pytest.param(judged(0.8, 0.8), Gate(), True, "as good or better", id="equal"),
        pytest.param(judged(0.79, 0.8), Gate(), False, "worse", id="worse"),
        pytest.param(judged(0.81, 0.8), Gate(margin=0.05), False, "margin of 0.050", id="not better enough"),
    ],
)
def test_decision(evaluation: Evaluation, gate: Gate, accepted: bool, reason: str) -> None:
    decision = decide(evaluation, gate, asked=False)
    assert decision.accepted is accepted
    assert reason in decision.reason


@pytest.mark.parametrize("live", [None, 0.8], ids=["first", "better"])
def test_a_decision_has_the_number_of_test_images_and_the_interval(live: Any) -> None:
    reason = decide(judged(0.9, live), Gate(), asked=False).reason
    assert "on 200 test images (the candidate's 95% interval: 0.850 to 0.950)" in reason


def test_a_decision_by_another_metric_has_the_number_of_test_images() -> None:
    reason = decide(judged(0.9, macro_f1=0.7), Gate(metric="macro_f1"), asked=False).reason
    assert reason == "The candidate's macro F1 is 0.700 on 200 test images, and no other model was live."


OTHERS = {"incomparable": "They differ in beagle.", "classes": ["beagle", "collie", "owl"]}
NAMED = "The candidate lacks 2 of the live model's classes: beagle, collie. Its new classes: wren."
BROKEN = {"incomparable": "The live model could not be evaluated: RuntimeError: broken"}
FEWER = {"incomparable": "They differ in wren.", "classes": ["owl"]}


@pytest.mark.parametrize(
    ("evaluation", "key", "named"),
    [
        pytest.param(judged(0.9, OTHERS), "allow_removed_classes", NAMED, id="classes removed"),
        pytest.param(
            judged(0.9, BROKEN),
            "allow_incomparable",
            "The live model can't be compared with the candidate: The live model could not be evaluated: "
            "RuntimeError: broken.",
            id="broken live model",
        ),
        pytest.param(
            judged(0.9, FEWER),
            "allow_incomparable",
            "The live model can't be compared with the candidate: They differ in wren. Its new classes: wren.",
            id="classes added",
        ),
    ],
)
def test_an_incomparable_candidate_needs_approval_or_permission(
    evaluation: Evaluation, key: str, named: str
) -> None:
    other = {"allow_removed_classes": "allow_incomparable", "allow_incomparable": "allow_removed_classes"}[
        key
    ]
    alone = decide(evaluation, Gate(**{other: True}), asked=False)
    assert not alone.accepted
    assert named in alone.reason
    assert alone.reason.endswith(
        "To release it, start a run with require_approval and approve it, or set "
        f"{key} in the run's form or gate.{key} in the project file."
    )
    for decision in (
        decide(evaluation, Gate(), asked=True),
        decide(evaluation, Gate(**{key: True}), asked=False),
    ):
        assert decision.accepted
        assert named in decision.reason


def test_a_violated_rule_rejects_even_with_approval_and_the_classes_are_listed() -> None:
    decision = decide(judged(0.5, OTHERS), Gate(floor=0.6), asked=True)
    assert not decision.accepted
    assert "below the floor" in decision.reason
    assert NAMED in decision.reason


def test_only_the_first_of_many_classes_are_listed() -> None:
    live = {"incomparable": "", "classes": [f"class {number}" for number in range(12)]}
    reason = decide(judged(0.9, live), Gate(), asked=True).reason
    assert "lacks 12 of the live model's classes: class 0, " in reason
    assert "class 9 and 2 more." in reason


@pytest.mark.parametrize(
    ("evaluation", "changes"),
    [
        (judged(0.9, OTHERS), (["beagle", "collie"], ["wren"])),
        (judged(0.9, BROKEN), ([], [])),
        (judged(0.9, 0.8), ([], [])),
        (judged(0.9), ([], [])),
    ],
    ids=["other classes", "unknown classes", "same classes", "first release"],
)
def test_class_changes(evaluation: Evaluation, changes: tuple[list[str], list[str]]) -> None:
    assert evaluation.class_changes == changes


# By Wilson's formula for 2 of 2 and for 49 of 49 correct answers: the lower end is n / (n + 1.96^2).
TWO, MANY = {"accuracy_interval": [0.342, 1.0]}, {"accuracy_interval": [0.927, 1.0]}


@pytest.mark.parametrize(
    ("evaluation", "gate", "accepted"),
    [
        pytest.param(judged(1.0, images=2, **TWO), Gate(floor=0.8), False, id="too few"),
        pytest.param(judged(1.0, images=49, **MANY), Gate(floor=0.8), True, id="few, but good enough"),
        pytest.param(judged(1.0, images=50, **TWO), Gate(floor=0.8), True, id="enough"),
        pytest.param(
            judged(1.0, images=2, **TWO), Gate(floor=0.8, min_test_images=2), True, id="fewer wanted"
        ),
        pytest.param(judged(1.0, images=2, **TWO), Gate(), True, id="no floor"),
        pytest.param(
            judged(1.0, images=2, macro_f1=1.0), Gate(metric="macro_f1", floor=0.8), False, id="no interval"
        ),
    ],
)
def test_with_few_test_images_the_lower_end_of_the_interval_must_reach_the_floor(
    evaluation: Evaluation, gate: Gate, accepted: bool
) -> None:
    decision = decide(evaluation, gate, asked=False)
    assert decision.accepted is accepted
    assert (
        "The data set has only 2 test images, fewer than 50 (gate.min_test_images)" in decision.reason
    ) is not accepted
    assert ("add test images" in decision.reason) is not accepted
    assert decide(evaluation, gate, asked=True).accepted


def test_every_violated_rule_is_reported() -> None:
    gate = Gate(floor=0.85, max_latency_ms=10, max_size_mb=1)
    reason = decide(judged(0.7, 0.8), gate, asked=True).reason
    assert [
        rule in reason for rule in ("floor of 0.850", "40.0 ms", "16.0 MB", "The candidate is worse")
    ] == [True] * 4


def by_class(recalls: dict[str, float], images: int = 50) -> dict[str, Any]:
    return {
        label: {"images": images, "recall": recall, "precision": 1.0, "f1": 1.0}
        for label, recall in recalls.items()
    }


@pytest.mark.parametrize(
    ("candidate", "max_class_drop", "broken"),
    [
        pytest.param(by_class({"wren": 0.6, "owl": 1.0}), 0.2, "in 1 of 2 classes", id="one falls too far"),
        pytest.param(by_class({"wren": 0.6, "owl": 0.4}), 0.2, "in 2 of 2 classes", id="both do"),
        pytest.param(by_class({"wren": 0.7, "owl": 1.0}), 0.2, None, id="just allowed"),
        pytest.param(by_class({"wren": 0.0, "owl": 0.0}, images=19), 0.2, None, id="too few images"),
        pytest.param(by_class({"wren": 0.0, "owl": 0.0}), None, None, id="no limit"),
    ],
)
def test_the_recall_of_a_class_may_not_drop_too_far(
    candidate: dict[str, Any], max_class_drop: float | None, broken: str | None
) -> None:
    evaluation = judged(
        0.95, figures(0.8, per_class=by_class({"wren": 0.9, "owl": 0.9})), per_class=candidate
    )
    decision = decide(evaluation, Gate(max_class_drop=max_class_drop), asked=False)
    assert decision.accepted is (broken is None)
    assert broken is None or broken in decision.reason


def test_the_class_with_the_largest_drop_is_listed_first() -> None:
    evaluation = judged(
        0.9,
        figures(0.8, per_class=by_class({"wren": 0.9, "owl": 0.9})),
        per_class=by_class({"wren": 0.7, "owl": 0.1}),
    )
    reason = decide(evaluation, Gate(max_class_drop=0.1), asked=False).reason
    assert "owl (from 0.900 to 0.100), wren (from 0.900 to 0.700)" in reason


@pytest.mark.parametrize(("significant", "said"), [(True, "is significant"), (False, "is not significant")])
def test_the_reason_says_whether_the_difference_is_significant(significant: bool, said: str) -> None:
    difference = {
        "accuracy": 0.1,
        "interval": [-0.02, 0.22],
        "confidence": 0.95,
        "significant": significant,
        "only_candidate_right": 30,
        "only_live_right": 10,
    }
    decision = decide(judged(0.9, 0.8, difference=difference), Gate(), asked=False)
    assert decision.accepted
    assert f"The difference {said} (95% interval -0.020 to +0.220)." in decision.reason


def test_details_are_removed_from_an_evaluation() -> None:
    classes = by_class({"owl": 1.0})
    evaluation = judged(0.9, figures(0.8, confusion=[[1]]), confusion=[[1]], per_class=classes, ece=0.1)
    brief = evaluation.without_details()
    assert brief.model_dump(mode="json", exclude_unset=True) == {
        "images": 200,
        "classes": ["owl", "wren"],
        "candidate": figures(0.9, ece=0.1),
        "live": figures(0.8),
        "difference": None,
    }
    assert judged(0.9).without_details().live is None
    assert judged(0.9, OTHERS).without_details().class_changes == (["beagle", "collie"], ["wren"])


NO_DIFFERENCE = {
    "accuracy": 0.0,
    "interval": [-0.05, 0.05],
    "confidence": 0.95,
    "significant": False,
    "only_candidate_right": 0,
    "only_live_right": 0,
}


@pytest.mark.parametrize(
    ("live", "gate"),
    [
        pytest.param(0.9, Gate(), id="compared with itself"),
        pytest.param(0.9, Gate(margin=0.05), id="a margin that it can't exceed"),
        pytest.param(BROKEN, Gate(), id="not compared"),
    ],
)
def test_the_live_model_itself_is_identical_and_not_better_or_worse(live: Any, gate: Gate) -> None:
    evaluation = judged(0.9, live, difference=NO_DIFFERENCE)
    decision = decide(evaluation, gate, asked=False, is_live=True)
    assert decision.accepted
    assert decision.reason == (
        "The candidate is identical to the live model. Its accuracy is 0.900 on 200 test images (the candidate's 95% "
        "interval: 0.850 to 0.950)."
    )


def test_the_live_model_itself_has_to_reach_the_floor() -> None:
    assert not decide(judged(0.9, 0.9), Gate(floor=0.95), asked=False, is_live=True).accepted


def test_two_models_that_are_correct_on_the_same_images_do_not_differ() -> None:
    reason = decide(judged(0.9, 0.9, difference=NO_DIFFERENCE), Gate(), asked=False).reason
    assert reason.endswith("Both models are correct on the same test images.")
