"""The report of an evaluation: made from the jobs' files in S3, completed by the gate, safe to open."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from include.pipeline import evaluation_report
from include.pipeline.evaluation_report import comparison
from include.pipeline.pages.documents import Run
from include.pipeline.results import Difference, Evaluation, Incomparable, ProcessingJob, StagedData
from include.pipeline.settings import Project
from tests.include.pipeline.pages import samples

ARTIFACT = "s3://bucket/birds/training/birds-train-1/output/model.tar.gz"
JOB = ProcessingJob(name="birds-evaluate-1", output="s3://bucket/birds/evaluate/birds-evaluate-1")
DATA = StagedData(
    uri="s3://bucket/birds/data/f00d",
    fingerprint="f00d",
    classes=["a"],
    counts={},
    report="s3://bucket/birds/data/f00d/report.html",
)
RUN = Run(id="run-1", url="https://airflow/dags/birds.train_and_deploy/runs/run-1", started=samples.STARTED)
LABELS = samples.classes(3)


def put(s3: Any, key: str, content: bytes) -> None:
    s3.put_object(Bucket="bucket", Key=key, Body=content)


def put_evaluation(s3: Any, evaluation: dict[str, Any]) -> None:
    put(s3, "birds/evaluate/birds-evaluate-1/evaluation.json", json.dumps(evaluation).encode())


def put_training_output(s3: Any, files: dict[str, Any]) -> None:
    """Store the archive of the script's output files that SageMaker writes next to the model."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        folder = tarfile.TarInfo(".")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, document in files.items():
            body = json.dumps(document).encode()
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    put(s3, "birds/training/birds-train-1/output/output.tar.gz", content.getvalue())


def publish(project: Project, s3: Any) -> str:
    evaluation_report.publish(project, RUN, "bucket", s3, model="m-1", job=JOB, data=DATA, artifact=ARTIFACT)
    return page(s3)


def page(s3: Any) -> str:
    answer = s3.get_object(Bucket="bucket", Key="birds/runs/run-1/evaluation.html")
    assert answer["ContentType"] == "text/html; charset=utf-8"
    text: str = answer["Body"].read().decode()
    return text


@pytest.fixture
def evaluated(s3: Any) -> Any:
    evaluation = samples.evaluation(LABELS).model_dump(mode="json")
    for mistake in evaluation["candidate"]["mistakes"]:
        del mistake["picture"]
        put(s3, f"birds/data/f00d/test/{mistake['image']}", samples.photo(1))
    put_evaluation(s3, evaluation)
    return s3


def test_the_page_shows_metrics_and_images_of_mistakes(project: Project, evaluated: Any) -> None:
    text = publish(project, evaluated)
    assert "Accuracy 0.875 (0.825 to 0.905) on 24 test images." in text
    assert text.count('src="data:image/jpeg;base64,') == 3
    assert 'True <b>001.Robin</b><br><span class="mark">✗</span> Predicted <b>002.Wren</b> (98%)' in text


def test_the_page_has_project_run_and_date(project: Project, evaluated: Any) -> None:
    text = publish(project, evaluated)
    for name in ("birds", "Tells birds apart.", "run-1", "2026-11-12 16:05 UTC", "m-1", "birds-evaluate-1"):
        assert name in text
    for address in ("tuning.html", "../../data/f00d/report.html", RUN.url):
        assert f'href="{address}"' in text


def test_the_page_links_to_the_report_of_the_run_once_it_exists(project: Project, evaluated: Any) -> None:
    assert 'href="report.html"' not in publish(project, evaluated)
    evaluation_report.update(project, RUN.id, "bucket", evaluated, finished=True)
    assert 'href="report.html"' in page(evaluated)


def test_the_gate_adds_version_and_verdict(project: Project, evaluated: Any) -> None:
    assert "not registered yet" in publish(project, evaluated)
    evaluation_report.update(
        project, RUN.id, "bucket", evaluated, version=7, accepted=False, verdict="It is <worse>."
    )
    text = page(evaluated)
    assert "birds, version 7" in text
    assert "Rejected by the gate. It is &lt;worse&gt;." in text
    assert text.count('src="data:image/jpeg;base64,') == 3


def test_without_a_report_the_gate_adds_nothing(project: Project, s3: Any) -> None:
    assert evaluation_report.update(project, RUN.id, "bucket", s3, version=7) is None


def test_a_report_that_is_made_again_is_the_same(project: Project, evaluated: Any) -> None:
    assert publish(project, evaluated) == publish(project, evaluated)


def test_a_missing_image_is_listed_without_a_thumbnail(project: Project, evaluated: Any) -> None:
    evaluated.delete_object(Bucket="bucket", Key="birds/data/f00d/test/001.Robin/0.jpg")
    text = publish(project, evaluated)
    assert text.count('src="data:image/jpeg;base64,') == 2
    assert text.count("no image") == 1


def test_an_evaluation_of_an_earlier_version_has_a_page(project: Project, s3: Any) -> None:
    put_evaluation(s3, {"images": 4, "classes": ["a", "b"], "candidate": {"accuracy": 0.75}, "live": None})
    text = publish(project, s3)
    assert "Accuracy 0.750 on 4 test images." in text
    assert "<h2>Training</h2>" not in text


def test_learning_curves_times_and_warnings_are_those_of_the_training(
    project: Project, evaluated: Any
) -> None:
    history = samples.training(3).model_dump(mode="json")["history"]
    found = [{"check": "waiting_for_data", "message": "It <waits>."}]
    put_training_output(evaluated, {"history.json": history, "diagnosis.json": found})
    text = publish(project, evaluated)
    assert "<h3>Waiting for data</h3><p>It &lt;waits&gt;.</p>" in text
    for alt in ("Loss by epoch; in the last one train 0.467", "Seconds of each epoch"):
        assert f'alt="{alt}' in text


def test_a_history_without_times_leaves_their_chart_out(project: Project, evaluated: Any) -> None:
    metrics = dict.fromkeys(("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"), 0.5)
    put_training_output(evaluated, {"history.json": [{"epoch": 1, **metrics}], "diagnosis.json": []})
    text = publish(project, evaluated)
    assert 'alt="Loss by epoch' in text
    assert "Seconds of each epoch" not in text
    assert "found no problems" in text


def test_a_link_in_the_training_output_is_not_followed(s3: Any) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        link = tarfile.TarInfo("history.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    put(s3, "birds/training/birds-train-1/output/output.tar.gz", content.getvalue())
    record = evaluation_report.read_training_record(ARTIFACT, s3)
    assert record is not None
    assert (record.history, record.warnings) == ([], None)


def test_a_damaged_training_record_is_reported(project: Project, evaluated: Any) -> None:
    put(evaluated, "birds/training/birds-train-1/output/output.tar.gz", b"no archive")
    assert "output.tar.gz can&#39;t be read: " in publish(project, evaluated)


def evaluation(**changed: Any) -> Evaluation:
    return samples.evaluation(LABELS).model_copy(update=changed)


def difference(low: float, high: float, better: int = 5, worse: int = 1) -> Difference:
    return Difference(
        accuracy=(low + high) / 2,
        interval=(low, high),
        confidence=0.95,
        significant=low > 0 or high < 0,
        only_candidate_right=better,
        only_live_right=worse,
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param({"live": None}, "No other model was live to compare the candidate with.", id="first"),
        pytest.param(
            {"live": Incomparable(incomparable="It knows 4 classes."), "difference": None},
            "The live model can't be compared: It knows 4 classes.",
            id="incomparable",
        ),
        pytest.param({"identical": True}, "The candidate is identical to the live model.", id="identical"),
        pytest.param(
            {"difference": difference(0, 0, 0, 0)}, "correct on the same images", id="equal answers"
        ),
        pytest.param(
            {"difference": difference(-0.01, 0.05)}, "does not differ significantly", id="not significant"
        ),
        pytest.param(
            {"difference": difference(0.01, 0.05)},
            "significantly higher than the live model's: the difference is +0.030, with a 95% interval of +0.010 to "
            "+0.050. On 5 images only the candidate is correct, on 1 only the live model.",
            id="better",
        ),
        pytest.param({"difference": difference(-0.05, -0.01)}, "lower than the live model's", id="worse"),
    ],
)
def test_a_sentence_compares_the_candidate_with_the_live_model(
    changed: dict[str, Any], sentence: str
) -> None:
    assert sentence in comparison(evaluation(**changed))


def test_many_classes_come_with_the_most_frequent_confusions_and_a_bounded_page() -> None:
    text = samples.evaluation_page(samples.classes(133), epochs=2)
    assert text.count("<caption>Most frequent confusions</caption>") == 1
    assert text.count('src="data:image/jpeg;base64,') == 23
    assert len(text) < 1_000_000


def test_the_first_model_has_no_comparison() -> None:
    text = samples.evaluation_page(LABELS, epochs=1, live=False)
    assert '<th scope="col" class="number">Live</th>' not in text
    assert "F1, live" not in text
