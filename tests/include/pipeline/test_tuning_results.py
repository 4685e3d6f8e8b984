"""The trials of a tuning job, shown: the best first, each in the plot where it belongs."""

from __future__ import annotations

import re
from typing import Any

from include.pipeline.tuning_results import show


def trial(name: str, rate: str, size: str, objective: float | None) -> dict[str, Any]:
    hyperparameters = {"learning_rate": rate, "batch_size": size}
    status = "Completed" if objective is not None else "Failed"
    return {"name": name, "hyperparameters": hyperparameters, "objective": objective, "status": status}


TRIALS = [
    trial("slow", "0.001", "32", 0.9),
    trial("broken", "0.1", "64", None),
    trial("best", "0.01", "64", 0.3),
    trial("fast", "0.1", "32", 0.6),
]


def rows(page: str) -> list[str]:
    return re.findall(r"<tr><td>([^<]*)", page)


def places(page: str) -> dict[str, tuple[float, float]]:
    """Where each trial's mark is."""
    marks = re.findall(r"class='trial' cx='([\d.]+)' cy='([\d.]+)'.*?<title>(\w+):", page)
    return {name: (float(x), float(y)) for x, y, name in marks}


def test_the_lowest_loss_is_first_and_a_trial_without_a_result_last() -> None:
    assert rows(show(TRIALS, "validation_loss")) == ["best", "fast", "slow", "broken"]


def test_the_highest_accuracy_is_first() -> None:
    page = show(TRIALS, "validation_accuracy")
    assert rows(page) == ["slow", "fast", "best", "broken"]
    assert "Validation accuracy" in page


def test_learning_rates_lie_on_a_logarithmic_scale_and_better_losses_lower() -> None:
    marks = places(show(TRIALS, "validation_loss"))
    assert set(marks) == {"slow", "best", "fast"}
    (slow, best, fast) = (marks[name] for name in ("slow", "best", "fast"))
    assert abs((best[0] - slow[0]) - (fast[0] - best[0])) < 0.2  # a tenfold rate is the same step everywhere
    assert slow[1] < fast[1] < best[1]  # downwards on the page


def test_batch_sizes_differ_in_colour() -> None:
    page = show(TRIALS, "validation_loss")
    colours = {name: colour for colour, name in re.findall(r"fill='(#\w+)'><title>(\w+):", page)}
    assert colours["slow"] == colours["fast"] != colours["best"]


def test_equal_trials_can_be_drawn() -> None:
    marks = places(show([trial("a", "0.01", "32", 0.5), trial("b", "0.01", "32", 0.5)], "validation_loss"))
    assert marks["a"] == marks["b"]


def test_one_result_is_a_table_without_a_plot() -> None:
    page = show([trial("only", "0.01", '"32"', 0.5)], "validation_loss")
    assert rows(page) == ["only"]
    assert "<svg" not in page
