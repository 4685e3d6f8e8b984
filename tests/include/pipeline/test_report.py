"""The report of a run: complete, safe to open, and true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.pipeline import report
from include.pipeline.pages.documents import Run
from include.pipeline.results import StepResults
from include.pipeline.settings import Project, Training
from tests.include.pipeline.pages import samples

LABELS = samples.classes(3)
PAGE = f"{samples.FOLDER}/report.html"
NOW = "Version 3 is live since 16:20 UTC, accuracy 0.875 (0.825 to 0.905)."


def rendered(**changed: Any) -> str:
    return report.render(samples.release(LABELS, **changed), PAGE)


def test_a_summary_contains_the_metrics_of_the_run() -> None:
    figures = samples.release(LABELS)
    assert (figures.test_accuracy, figures.live_accuracy, figures.test_images) == (0.875, 0.75, 24)
    assert (figures.test_macro_f1, figures.test_ece) == (0.875, 0.0312)
    assert (figures.endpoint, figures.function, figures.billable_seconds) == ("birds", "birds", 71)
    assert (figures.package_version, figures.training_job) == (3, "birds-train-0123456789ab")


def test_the_page_starts_with_the_current_state() -> None:
    made = samples.release(LABELS)
    assert made.now.endswith(NOW.removeprefix("Version 3 is live since 16:20 UTC"))
    text = rendered()
    assert text.index(made.now) < text.index("Decision: The candidate is as good") < text.index("At a glance")


def test_after_a_rejection_the_page_names_the_live_model() -> None:
    made = samples.release(
        LABELS, register={**samples.results(LABELS)["register"], "version": 4}, smoke_test=None
    )
    assert made.now.startswith("Version 4 was rejected. Version 3 stays live since")
    assert (made.released, made.endpoint) == (False, None)


def test_a_run_that_changed_nothing_has_a_report_too() -> None:
    text = samples.unchanged_page()
    assert "Nothing has changed. Version 3 stays live" in text
    assert "Nothing has changed since the live model was made." in text
    assert "Smoke test" not in text


def test_the_page_has_date_duration_and_the_accuracy_with_its_interval() -> None:
    text = rendered()
    assert "2026-11-12 16:05 UTC" in text
    assert "15 min 21 s" in text
    assert "95% interval 0.825 to 0.905, 24 test images" in text


def test_the_page_links_to_the_other_pages_and_to_the_run() -> None:
    text = rendered()
    folder = "../manual__2026-11-12T16-05-10-00-00"
    for address in (f"{folder}/evaluation.html", f"{folder}/tuning.html", "../../data/f00d/report.html"):
        assert f'href="{address}"' in text
    assert "https://airflow.example.com/dags/birds.train_and_deploy/runs/" in text


def test_external_text_is_escaped(project: Project) -> None:
    hostile = "<script>alert(1)</script>"
    made = samples.release(
        [hostile, "b"],
        Run(id=hostile, url="javascript:alert(1)"),
        project.model_copy(update={"description": hostile}),
        gate={**samples.results([hostile, "b"])["gate"], "reason": hostile},
    )
    text = report.render(made, PAGE)
    assert "<script" not in text
    assert "javascript:" not in text


def test_hyperparameters_are_a_table_with_sensible_digits() -> None:
    text = rendered()
    assert '<th scope="row">Learning rate</th><td class="number">0.00316</td>' in text
    assert '<th scope="row">Batch size</th><td class="number">32</td>' in text


def test_a_wrong_prediction_in_the_smoke_test_is_marked() -> None:
    text = rendered()
    assert "2 of 3 predictions through the Lambda function are correct" in text
    assert text.count('<tr class="wrong">') == 1
    assert '<span class="mark">✗ wrong:</span> 002.Wren' in text


def test_the_page_shows_mistakes_as_images_with_true_and_predicted_class() -> None:
    text = rendered()
    assert text.count('alt="Test image 001.Robin/0.jpg"') == 1
    assert "True <b>001.Robin</b>" in text


def test_the_first_model_is_compared_with_none() -> None:
    gate = samples.results(LABELS)["gate"]
    first = {**gate, "evaluation": {**gate["evaluation"], "live": None, "difference": None}}
    made = samples.release(LABELS, gate=first)
    assert (made.live_accuracy, made.difference) == (None, None)
    assert "No other model was live to compare the candidate with." in report.render(made, PAGE)


def test_the_page_lists_removed_and_new_classes() -> None:
    gate = samples.results(LABELS)["gate"]
    live = {"incomparable": "Other classes.", "classes": ["<b>", *LABELS[1:]]}
    changed = {**gate, "evaluation": {**gate["evaluation"], "live": live, "difference": None}}
    made = samples.release(LABELS, gate=changed)
    assert (made.removed_classes, made.added_classes) == (["<b>"], [LABELS[0]])
    text = report.render(made, PAGE)
    assert "<dt>Removed classes</dt><dd>&lt;b&gt;</dd>" in text
    assert "Changed classes" not in rendered()


@pytest.mark.parametrize(
    ("training", "saving"), [(Training(spot=True), 1 - 71 / 236), (Training(), None)], ids=["spot", "no spot"]
)
def test_spot_savings_are_shown_if_spot_instances_were_used(
    project: Project, training: Training, saving: float | None
) -> None:
    made = samples.release(LABELS, of=project.model_copy(update={"training": training}))
    assert made.spot_saving == pytest.approx(saving)
    assert ("70% of the training time is not billed" in report.render(made, PAGE)) is (saving is not None)


def test_warnings_of_the_training_are_shown() -> None:
    assert "<h3>Overfitting</h3><p>The validation loss has risen since epoch 7.</p>" in rendered()


def test_the_page_compares_estimated_and_billed_cost() -> None:
    text = rendered()
    for cell in ("$0.92", "$3.68", "$0.0031", "$0.041", "paid by an earlier run", "$83.95", "$95.15"):
        assert f'<td class="number">{cell}</td>' in text
    assert "Spot instances saved $0.012." in text
    assert "<h2>Cost</h2>" not in samples.unchanged_page()


def test_page_and_summary_are_stored_in_s3(project: Project, s3: Any) -> None:
    made = samples.release(LABELS, Run(id="run-1"))
    s3.put_object(Bucket="bucket", Key="birds/data/f00d/test/001.Robin/0.jpg", Body=samples.photo(1))
    assert report.publish(project, made, "bucket", s3).report == PAGE
    page = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/report.html")
    assert page["ContentType"] == "text/html; charset=utf-8"
    assert 'alt="Test image test/001.Robin/0.jpg"' in page["Body"].read().decode()
    summary = json.load(s3.get_object(Bucket="bucket", Key="birds/runs/run-1/summary.json")["Body"])
    assert (summary["test_accuracy"], summary["now"]) == (0.875, made.now)
    assert "data:image" not in json.dumps(summary)


def test_the_page_of_a_rollback_has_the_live_model_and_its_predictions() -> None:
    text = samples.rollback_page(LABELS)
    assert text.index("Version 2 is live since 16:20 UTC") < text.index("is live again instead of version 3")
    assert text.count('<tr class="wrong">') == 1


def test_results_of_tasks_are_read_by_their_names() -> None:
    returned = samples.results(LABELS, train=None, train_on_ec2={"name": "on-ec2", "artifact": "s3://b/m"})
    read = StepResults.model_validate(returned)
    assert read.trained is not None
    assert read.jobs == {
        "features": "birds-features-0123456789ab",
        "tune": "birds-tune-01234567",
        "train": "on-ec2",
        "evaluate": "birds-evaluate-1",
    }
