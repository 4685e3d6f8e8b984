"""The gate: which candidate may replace which live model."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline.gate import decide, without_details
from include.pipeline.settings import Gate


def figures(accuracy: float, **others: Any) -> dict[str, Any]:
    """What evaluation measures of one model, as far as the gate looks at it."""
    return {"accuracy": accuracy, "milliseconds_p95": 40.0, "size_bytes": 16_000_000, **others}


def judged(candidate: float, live: Any = None, **others: Any) -> dict[str, Any]:
    return {
        "candidate": figures(candidate, **others),
        "live": figures(live) if isinstance(live, float) else live,
    }


@pytest.mark.parametrize(
    ("evaluation", "gate", "accepted", "reason"),
    [
        pytest.param(judged(0.5), Gate(), True, "no model is live", id="first release"),
        pytest.param(
            judged(0.5),
            Gate(floor=0.6),
            False,
            "0.500 is below the floor of 0.600",
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
            judged(0.9), Gate(max_latency_ms=39), False, "takes 40 ms for an image", id="first, too slow"
        ),
        pytest.param(
            judged(0.9, 0.8), Gate(max_size_mb=15.9), False, "16.0 MB; at most 15.9 MB", id="too large"
        ),
        pytest.param(judged(0.9), Gate(max_latency_ms=40, max_size_mb=16), True, "", id="at the ceilings"),
        pytest.param(judged(0.9, 0.8), Gate(), True, "0.900 against the live model's 0.800", id="better"),
        pytest.param(judged(0.8, 0.8), Gate(), True, "as good or better", id="equal"),
        pytest.param(judged(0.79, 0.8), Gate(), False, "worse", id="worse"),
        pytest.param(judged(0.81, 0.8), Gate(margin=0.05), False, "margin of 0.050", id="not better enough"),
        pytest.param(
            judged(0.5, {"incomparable": "Other classes."}),
            Gate(),
            True,
            "Other classes",
            id="not comparable",
        ),
    ],
)
def test_decision(evaluation: dict[str, Any], gate: Gate, accepted: bool, reason: str) -> None:
    decision = decide(evaluation, gate)
    assert decision.accepted is accepted
    assert reason in decision.reason


def test_every_broken_rule_is_named() -> None:
    gate = Gate(floor=0.85, max_latency_ms=10, max_size_mb=1)
    reason = decide(judged(0.7, 0.8), gate).reason
    assert [rule in reason for rule in ("floor of 0.850", "40 ms", "16.0 MB", "The candidate is worse")] == [
        True
    ] * 4


def by_class(recalls: dict[str, float], images: int = 50) -> dict[str, Any]:
    return {label: {"images": images, "recall": recall} for label, recall in recalls.items()}


@pytest.mark.parametrize(
    ("candidate", "max_class_drop", "broken"),
    [
        pytest.param(by_class({"wren": 0.6, "owl": 1.0}), 0.2, "in 1 of 2 classes", id="one falls too far"),
        pytest.param(by_class({"wren": 0.6, "owl": 0.4}), 0.2, "in 2 of 2 classes", id="both do"),
        pytest.param(by_class({"wren": 0.7, "owl": 1.0}), 0.2, None, id="just allowed"),
        pytest.param(by_class({"wren": 0.0, "owl": 0.0}, images=19), 0.2, None, id="too few images"),
        pytest.param(by_class({"wren": 0.0, "owl": 0.0}), None, None, id="not asked for"),
    ],
)
def test_no_class_may_be_given_up_for_the_others(
    candidate: dict[str, Any], max_class_drop: float | None, broken: str | None
) -> None:
    evaluation = judged(
        0.95, figures(0.8, per_class=by_class({"wren": 0.9, "owl": 0.9})), per_class=candidate
    )
    decision = decide(evaluation, Gate(max_class_drop=max_class_drop))
    assert decision.accepted is (broken is None)
    assert broken is None or broken in decision.reason


def test_the_class_that_falls_furthest_is_named_first() -> None:
    evaluation = judged(
        0.9,
        figures(0.8, per_class=by_class({"wren": 0.9, "owl": 0.9})),
        per_class=by_class({"wren": 0.7, "owl": 0.1}),
    )
    reason = decide(evaluation, Gate(max_class_drop=0.1)).reason
    assert "owl (from 0.900 to 0.100), wren (from 0.900 to 0.700)" in reason


@pytest.mark.parametrize(("significant", "said"), [(True, "is more than noise"), (False, "may be noise")])
def test_the_reason_says_whether_the_difference_may_be_chance(significant: bool, said: str) -> None:
    difference = {
        "accuracy": 0.1,
        "interval": [-0.02, 0.22],
        "confidence": 0.95,
        "significant": significant,
    }
    decision = decide({**judged(0.9, 0.8), "difference": difference}, Gate())
    assert decision.accepted
    assert f"The difference {said} (95% interval -0.020 to +0.220)." in decision.reason


def test_what_grows_with_classes_and_images_stays_out_of_the_figures() -> None:
    model = {"accuracy": 0.9, "confusion": [[1]], "per_class": {"a": {}}, "mistakes": [], "worst_classes": []}
    figures = {"accuracy": 0.9}
    evaluation = {"images": 3, "candidate": model, "live": {**model, "reliability": []}, "difference": None}
    assert without_details(evaluation) == {
        "images": 3,
        "candidate": figures,
        "live": figures,
        "difference": None,
    }
    assert without_details({**evaluation, "live": None})["live"] is None
    assert model["per_class"], "the evaluation itself is left as it is"
