"""The gate: which candidate may replace which live model."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline.gate import decide, without_details
from include.pipeline.settings import Gate


def judged(candidate: float, live: Any = None) -> dict[str, Any]:
    return {
        "candidate": {"accuracy": candidate},
        "live": {"accuracy": live} if isinstance(live, float) else live,
    }


@pytest.mark.parametrize(
    ("evaluation", "gate", "accepted", "reason"),
    [
        pytest.param(judged(0.5), Gate(), True, "no model is live", id="first release"),
        pytest.param(
            judged(0.5),
            Gate(min_accuracy=0.6),
            False,
            "0.500 is below the floor of 0.600",
            id="below the floor",
        ),
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
