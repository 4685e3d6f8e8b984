"""The sentence about the live version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from include.pipeline.live_version import LiveVersion, sentence
from include.pipeline.registry import ModelVersion

SINCE = datetime(2026, 11, 12, 16, 20, 3, tzinfo=UTC)
LATER = datetime(2026, 11, 12, 16, 21, tzinfo=UTC)
FIGURES = {"accuracy": "0.9251", "accuracy_low": "0.8799", "accuracy_high": "0.9541"}
LIVE = LiveVersion("m-1", ModelVersion("arn", 1, "Approved", "m-1", {}, FIGURES), SINCE)


def test_the_live_version_has_a_time_and_an_accuracy() -> None:
    assert sentence(LIVE, LATER) == "Version 1 is live since 16:20 UTC, accuracy 0.925 (0.880 to 0.954)."


def test_another_day_has_its_date() -> None:
    assert "since 2026-11-12 16:20 UTC," in sentence(LIVE, datetime(2026, 11, 13, 0, 1, tzinfo=UTC))


def test_after_a_rejection_the_live_version_stays() -> None:
    assert sentence(LIVE, LATER, rejected=2).startswith(
        "Version 2 was rejected. Version 1 stays live since 16:20 UTC,"
    )
    assert sentence(None, LATER, rejected=2) == "Version 2 was rejected. No model is live."


def test_without_a_change_the_live_version_stays() -> None:
    assert sentence(LIVE, LATER, unchanged=True).startswith("Nothing has changed. Version 1 stays live")


def test_unknown_values_are_left_out() -> None:
    assert sentence(replace(LIVE, package=None, since=None), LATER) == "Model m-1 is live."
