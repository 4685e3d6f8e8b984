"""The report: complete, and safe to open."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from include.pipeline.report import (
    evaluation_page,
    publish,
    read_warnings,
    render,
    render_rollback,
    summarise,
)
from include.pipeline.settings import Project, Training

DATA = {"counts": {"train": 4, "valid": 2, "test": 2}, "classes": ["a", "b"], "fingerprint": "f"}
EVALUATION = {
    "images": 40,
    "classes": ["a", "b"],
    "candidate": {"accuracy": 0.75, "accuracy_interval": [0.6, 0.86], "macro_f1": 0.7, "ece": 0.05},
    "live": {"accuracy": 0.7},
    "difference": {"accuracy": 0.05, "interval": [-0.01, 0.11], "confidence": 0.95, "significant": False},
}
TRAINING = {
    "name": "birds-train-1",
    "artifact": "s3://bucket/birds/training/birds-train-1/output/model.tar.gz",
    "billable_seconds": 12,
    "training_seconds": 40,
}
PAGE = "s3://bucket/birds/runs/run-1/report.html"


def summary(
    project: Project,
    outcome: str = "As good.",
    evaluation: dict[str, Any] = EVALUATION,
    warnings: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    return summarise(
        project,
        DATA,
        training=TRAINING,
        tuning={
            "hyperparameters": {"learning_rate": "0.01", "batch_size": "32"},
            "trials": [
                {
                    "name": "t",
                    "hyperparameters": {"learning_rate": "0.01", "batch_size": "32"},
                    "objective": 0.5,
                    "status": "Completed",
                }
            ],
        },
        evaluation=evaluation,
        evaluation_page=evaluation_page({"output": "s3://bucket/birds/evaluate/birds-evaluate-1"}),
        warnings=warnings or [],
        smoke_test={
            "accuracy": 1.0,
            "requests": [
                {"truth": "a", "label": "a", "probability": 0.9, "milliseconds": 12.0, "image": "x"}
            ],
        },
        package={"version": 7},
        outcome=outcome,
    )


def test_a_summary_holds_the_runs_figures(project: Project) -> None:
    figures = summary(project)
    assert (figures["test_accuracy"], figures["live_accuracy"]) == (0.75, 0.7)
    assert (figures["test_macro_f1"], figures["test_ece"]) == (0.7, 0.05)
    assert (figures["endpoint"], figures["function"], figures["billable_seconds"]) == ("birds", "birds", 12)


def test_a_run_that_ended_early_has_a_report_too(project: Project) -> None:
    nothing = summarise(project, DATA, None, None, None, None, [], None, None, "Nothing has changed.")
    page = render(nothing, "run-1", PAGE)
    assert "Nothing has changed." in page
    assert "Smoke test" not in page


def test_what_comes_from_outside_is_escaped(project: Project) -> None:
    hostile = "<script>alert(1)</script>"
    warnings = [{"check": hostile, "message": hostile}]
    assert "<script>" not in render(summary(project, outcome=hostile, warnings=warnings), hostile, PAGE)


def test_the_first_model_is_compared_with_none(project: Project) -> None:
    first = summary(project, evaluation={"candidate": {"accuracy": 0.75}, "live": None, "difference": None})
    assert (first["live_accuracy"], first["difference"]) == (None, None)
    assert "interval" not in render(first, "run-1", PAGE)


def test_the_page_says_how_sure_the_difference_to_the_live_model_is(project: Project) -> None:
    page = render(summary(project), "run-1", PAGE)
    assert "+0.0500; 95% interval -0.0100 to +0.1100: may be noise" in page


def test_the_page_says_on_how_many_images_the_accuracy_was_measured(project: Project) -> None:
    page = render(summary(project), "run-1", PAGE)
    assert "0.7500 on 40 images; 95% interval 0.6000 to 0.8600" in page


def test_the_page_names_removed_and_new_classes(project: Project) -> None:
    live = {"incomparable": "Other classes.", "classes": ["<b>", "b", "c"]}
    changed = summary(project, evaluation={**EVALUATION, "live": live, "difference": None})
    assert (changed["removed_classes"], changed["added_classes"]) == (["<b>", "c"], ["a"])
    page = render(changed, "run-1", PAGE)
    assert "&lt;b&gt;, c" in page
    assert ("Removed classes" in page, "New classes" in page) == (True, True)
    same = render(summary(project), "run-1", PAGE)
    assert ("Removed classes" in same, "New classes" in same) == (False, False)


def test_the_page_leads_to_the_evaluations_page(project: Project) -> None:
    page = render(summary(project), "run-1", PAGE)
    assert "href='../../evaluate/birds-evaluate-1/report.html'" in page
    assert "s3://bucket/birds/evaluate/birds-evaluate-1/report.html" in page


@pytest.mark.parametrize(
    ("training", "saving"), [(Training(spot=True), 0.7), (Training(), None)], ids=["spot", "not spot"]
)
def test_what_spot_instances_saved_is_told_where_they_were_used(
    project: Project, training: Training, saving: float | None
) -> None:
    told = summary(project.model_copy(update={"training": training}))
    assert told["spot_saving"] == pytest.approx(saving)
    assert ("70% of the training time is not billed" in render(told, "run-1", PAGE)) is (saving is not None)


def put_training_output(s3: Any, files: dict[str, Any]) -> None:
    """What SageMaker puts beside the model: an archive of all that the script wrote."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(_folder("."))
        for name, document in files.items():
            body = json.dumps(document).encode()
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    s3.put_object(
        Bucket="bucket", Key="birds/training/birds-train-1/output/output.tar.gz", Body=content.getvalue()
    )


def _folder(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    return member


def test_warnings_of_the_training_are_read_from_its_output_and_shown(project: Project, s3: Any) -> None:
    found = [{"check": "overfitting", "message": "The validation loss rises."}]
    put_training_output(s3, {"history.json": [], "diagnosis.json": found})
    assert read_warnings(TRAINING, s3) == found
    page = render(summary(project, warnings=found), "run-1", PAGE)
    assert "overfitting" in page
    assert "The validation loss rises." in page


def test_a_training_without_a_diagnosis_or_without_output_warns_of_nothing(s3: Any) -> None:
    assert read_warnings(None, s3) == []
    assert read_warnings(TRAINING, s3) == []
    put_training_output(s3, {"history.json": []})
    assert read_warnings(TRAINING, s3) == []


def test_page_and_summary_are_published(project: Project, s3: Any) -> None:
    address = publish(project, summary(project), "run-1", "bucket", s3)
    assert address == "s3://bucket/birds/runs/run-1/report.html"
    page = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/report.html")
    assert page["ContentType"].startswith("text/html")
    body = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/summary.json")["Body"]
    assert json.load(body)["test_accuracy"] == 0.75


def test_the_page_sets_the_cost_that_was_estimated_against_what_was_billed(project: Project) -> None:
    step = {"step": "train", "instance_type": "ml.m5.large", "at_most_usd": 2.5, "last_usd": None}
    estimate = {
        "steps": [step],
        "at_most_usd": 2.5,
        "last_usd": None,
        "monthly": [{"what": "1 x ml.m5.large of the endpoint", "usd": 83.95}],
        "monthly_usd": 83.95,
        "thousand_calls_usd": 0.0044,
        "unpriced": [],
        "notes": ["Prices of some day."],
    }
    billed = {"step": "train", "usd": 0.5, "seconds": 1.0, "reused": False}
    actual = {"steps": [billed], "usd": 0.5, "spot_saved_usd": 1.25}
    page = render({**summary(project), "cost": {"estimate": estimate, "actual": actual}}, "run-1", PAGE)
    for cell in ("$2.50", "unknown", "$0.50", "$83.95", "Spot instances saved $1.25.", "Prices of some day."):
        assert cell in page
    assert "Cost" not in render(summary(project), "run-1", PAGE)


def test_the_page_names_the_version_in_the_registry(project: Project) -> None:
    assert "<td>Version in the model registry</td><td>7</td>" in render(summary(project), "run-1", PAGE)


def test_the_page_of_a_rollback_says_what_serves_and_what_it_answered() -> None:
    answers = {"requests": [{"truth": "wren", "label": "owl", "probability": 0.5, "milliseconds": 9.0}]}
    told = {"project": "birds", "outcome": "Version 2 serves <again>.", "model": "m-2", "smoke_test": answers}
    page = render_rollback(told, "run-1", PAGE)
    assert "Version 2 serves &lt;again&gt;." in page
    assert "<td>wren</td><td>owl</td><td>0.500</td><td>9 ms</td>" in page
