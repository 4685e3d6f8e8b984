"""The report of a tuning job: best trial first, and a chart if there are several results."""

from __future__ import annotations

import re
from typing import Any

from include.pipeline import tuning_report
from include.pipeline.results import Trial, TuningResult
from include.pipeline.settings import Project
from tests.include.pipeline.pages import samples


def trial(name: str, objective: float | None) -> Trial:
    return Trial(
        name=name,
        hyperparameters={"learning_rate": "0.0123456", "batch_size": '"32"'},
        objective=objective,
        status="Completed" if objective is not None else "Failed",
    )


TRIALS = [trial("slow", 0.9), trial("broken", None), trial("best", 0.3), trial("fast", 0.6)]


def names(trials: list[Trial]) -> list[str]:
    return [trial.name for trial in trials]


def test_the_lowest_loss_is_first_and_a_trial_without_a_result_last() -> None:
    assert names(tuning_report.ranked(TRIALS, "validation_loss")) == ["best", "fast", "slow", "broken"]


def test_the_highest_accuracy_is_first() -> None:
    assert names(tuning_report.ranked(TRIALS, "validation_accuracy")) == ["slow", "fast", "best", "broken"]


def test_the_page_is_stored_with_the_pages_of_the_run(project: Project, s3: Any) -> None:
    best = {"learning_rate": "0.0123456", "batch_size": '"32"'}
    tuning = TuningResult(name="birds-tune-1", hyperparameters=best, objective=0.3, trials=TRIALS)
    uri = tuning_report.publish(project, samples.run("run-1"), "bucket", s3, tuning)
    assert uri == "s3://bucket/birds/runs/run-1/tuning.html"
    text = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/tuning.html")["Body"].read().decode()
    assert "The best of 4 trials has learning rate 0.0123 and batch size 32." in text
    assert re.findall(r'<tr><th scope="row">(\w+)</th>', text) == ["best", "fast", "slow", "broken"]
    assert 'alt="Validation loss of each trial by its learning rate.' in text


def test_one_result_is_a_table_without_a_chart() -> None:
    text = samples.tuning(1)
    assert "The best of 1 trial has" in text
    assert "<picture>" not in text
