"""The report: complete, and safe to open."""

from __future__ import annotations

import json
from typing import Any

from include.pipeline.report import publish, render, summarise
from include.pipeline.settings import Project

DATA = {"counts": {"train": 4, "valid": 2, "test": 2}, "classes": ["a", "b"], "fingerprint": "f"}


def summary(project: Project, outcome: str = "As good.") -> dict[str, Any]:
    return summarise(
        project,
        DATA,
        training={"name": "birds-train-1", "billable_seconds": 12},
        tuning={
            "hyperparameters": {"learning_rate": "0.01"},
            "trials": [
                {
                    "name": "t",
                    "hyperparameters": {"learning_rate": "0.01"},
                    "objective": 0.5,
                    "status": "Completed",
                }
            ],
        },
        evaluation={"candidate": {"accuracy": 0.75}, "live": None},
        smoke_test={
            "accuracy": 1.0,
            "requests": [
                {"truth": "a", "label": "a", "probability": 0.9, "milliseconds": 12.0, "image": "x"}
            ],
        },
        outcome=outcome,
    )


def test_a_summary_holds_the_runs_figures(project: Project) -> None:
    figures = summary(project)
    assert (figures["test_accuracy"], figures["live_accuracy"]) == (0.75, None)
    assert (figures["endpoint"], figures["function"], figures["billable_seconds"]) == ("birds", "birds", 12)


def test_a_run_that_ended_early_has_a_report_too(project: Project) -> None:
    page = render(summarise(project, DATA, None, None, None, None, "Nothing has changed."), "run-1")
    assert "Nothing has changed." in page
    assert "Smoke test" not in page


def test_what_comes_from_outside_is_escaped(project: Project) -> None:
    assert "<script>" not in render(summary(project, outcome="<script>alert(1)</script>"), "run")


def test_page_and_summary_are_published(project: Project, s3: Any) -> None:
    address = publish(project, summary(project), "run-1", "bucket", s3)
    assert address == "s3://bucket/birds/runs/run-1/report.html"
    page = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/report.html")
    assert page["ContentType"].startswith("text/html")
    body = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/summary.json")["Body"]
    assert json.load(body)["test_accuracy"] == 0.75
