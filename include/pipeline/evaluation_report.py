"""The report of an evaluation: the candidate's metrics, its mistakes, and its comparison with the live model."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from include.classifier.image_classifier.metric_table import METRICS
from include.pipeline import tuning_report
from include.pipeline.job_requests import training_output
from include.pipeline.names import split_s3_uri
from include.pipeline.pages import page, pictures
from include.pipeline.pages.documents import Chart, Document, Run
from include.pipeline.results import Evaluation, ModelFigures, ProcessingJob, StagedData, TrainingRecord
from include.pipeline.settings import Project

PAGE, DOCUMENT = "evaluation.html", "evaluation_report.json"
TIME_PARTS = ("data", "forward", "backward", "other")
MOST_CONFUSED = 10


class EvaluationReport(Document):
    """The content of the page. The gate adds the version and the verdict; the end of the run adds a link to its report.

    :param model: the name of the candidate.
    :param job: the name of the evaluation job, which may be the job of an earlier run.
    :param charts: by name; see :func:`draw_charts`.
    :param accepted: whether the gate has accepted the candidate; None before the gate.
    :param finished: whether the report of the run exists.
    """

    project: str
    description: str
    run: Run
    model: str
    job: str | None = None
    evaluation: Evaluation
    training: TrainingRecord | None = None
    charts: dict[str, Chart] = Field({})
    data_report: str | None = None
    version: int | None = None
    accepted: bool | None = None
    verdict: str | None = None
    finished: bool = False


def publish(
    project: Project,
    run: Run,
    bucket: str,
    s3: Any,
    *,
    model: str,
    job: ProcessingJob,
    data: StagedData,
    artifact: str,
) -> str:
    """Create the report of an evaluation and store it with the pages of the run.

    :param model: the name of the candidate.
    :param artifact: the S3 URI of the candidate's ``model.tar.gz``.
    :return: the S3 URI of the page.
    """
    evaluated = Evaluation.model_validate(_read_json(f"{job.output}/evaluation.json", s3))
    mistakes = evaluated.candidate.mistakes
    thumbnails = pictures.read_thumbnails(
        (f"{data.uri}/test/{mistake.image}" for mistake in mistakes), s3, project.data.max_pixels
    )
    pictured = [
        mistake.model_copy(update={"picture": thumbnail})
        for mistake, thumbnail in zip(mistakes, thumbnails, strict=True)
    ]
    candidate = evaluated.candidate.model_copy(update={"mistakes": pictured})
    evaluated = evaluated.model_copy(update={"candidate": candidate})
    training = read_training_record(artifact, s3)
    report = EvaluationReport(
        project=project.name,
        description=project.description,
        run=run,
        model=model,
        job=job.name,
        evaluation=evaluated,
        training=training,
        charts=draw_charts(evaluated, training),
        data_report=data.report,
    )
    return _put(report, page.run_folder(bucket, project, run.id), s3)


def update(project: Project, run_id: str, bucket: str, s3: Any, **changes: Any) -> str | None:
    """Change the report of a run's evaluation and store it again. The charts stay as they are.

    :param changes: fields of :class:`EvaluationReport`.
    :return: the S3 URI of the page; None if the run has no such report.
    """
    report = read(project, run_id, bucket, s3)
    if report is None:
        return None
    return _put(report.model_copy(update=changes), page.run_folder(bucket, project, run_id), s3)


def read(project: Project, run_id: str, bucket: str, s3: Any) -> EvaluationReport | None:
    """Return the report of a run's evaluation, or None if it does not exist."""
    folder = page.run_folder(bucket, project, run_id)
    try:
        return EvaluationReport.model_validate(_read_json(f"{folder}/{DOCUMENT}", s3))
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None


def render(report: EvaluationReport, uri: str) -> str:
    """Return the page as HTML.

    :param uri: the S3 URI of the page.
    """
    folder = posixpath.dirname(uri)
    links = page.navigation(
        uri,
        report.run,
        Run_report=f"{folder}/report.html" if report.finished else None,
        Tuning=f"{folder}/{tuning_report.PAGE}",
        Data_report=report.data_report,
    )
    return page.render(
        "evaluation.html",
        report=report,
        evaluation=report.evaluation,
        metrics=METRICS,
        comparison=comparison(report.evaluation),
        confused=_most_confused(report.evaluation),
        links=links,
    )


def comparison(evaluation: Evaluation) -> str:
    """Return a sentence on whether the candidate differs significantly from the live model."""
    difference = evaluation.difference
    if evaluation.live is None:
        return "No other model was live to compare the candidate with."
    if evaluation.compared is None or difference is None:
        reason = getattr(evaluation.live, "incomparable", "its figures are missing.")
        return f"The live model can't be compared: {reason}"
    if evaluation.identical:
        return "The candidate is identical to the live model."
    if difference.only_candidate_right == difference.only_live_right == 0:
        return "The candidate and the live model are correct on the same images."
    low, high = difference.interval
    measured = (
        f"the difference is {difference.accuracy:+.3f}, "
        f"with a {difference.confidence:.0%} interval of {low:+.3f} to {high:+.3f}."
    )
    if difference.only_candidate_right is not None:
        measured += (
            f" On {difference.only_candidate_right} images only the candidate is correct, "
            f"on {difference.only_live_right} only the live model."
        )
    if not difference.significant:
        return f"The candidate's accuracy does not differ significantly from the live model's: {measured}"
    direction = "higher" if low > 0 else "lower"
    return f"The candidate's accuracy is significantly {direction} than the live model's: {measured}"


def read_training_record(artifact: str, s3: Any) -> TrainingRecord | None:
    """Read the record of a training from its ``output.tar.gz``, without extracting files to disk.

    :param artifact: the S3 URI of the ``model.tar.gz`` beside it.
    :return: None if the file does not exist. If it can't be read, the record says so, and the report is made anyway.
    """
    bucket, key = split_s3_uri(training_output(artifact))
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file and (name := posixpath.normpath(member.name)) in ("history.json", "diagnosis.json"):
                    found[name] = json.load(file)
        return TrainingRecord(history=found.get("history.json", []), warnings=found.get("diagnosis.json"))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:  # pydantic's is a ValueError
        return TrainingRecord(unreadable=f"s3://{bucket}/{key} can't be read: {error}")


def _put(report: EvaluationReport, folder: str, s3: Any) -> str:
    bucket, prefix = split_s3_uri(folder)
    s3.put_object(
        Bucket=bucket,
        Key=f"{prefix}/{DOCUMENT}",
        Body=report.model_dump_json().encode(),
        ContentType="application/json",
    )
    uri = f"{folder}/{PAGE}"
    return page.put(render(report, uri), uri, s3)


def _read_json(uri: str, s3: Any) -> Any:
    bucket, key = split_s3_uri(uri)
    return json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])


def draw_charts(evaluation: Evaluation, training: TrainingRecord | None) -> dict[str, Chart]:
    """Draw ``confusion``, ``reliability``, ``loss``, ``accuracy`` and ``seconds``, each if its figures exist."""
    from include.pipeline.pages import charts  # importing matplotlib takes a second

    drawn: dict[str, Chart] = {}
    candidate, live = evaluation.candidate, evaluation.compared
    if candidate.confusion:
        drawn["confusion"] = charts.confusion_chart(
            "Confusion matrix: one row for each true class, one column for each prediction.",
            candidate.confusion,
            evaluation.classes,
        )
    if candidate.reliability:
        models: list[tuple[str, ModelFigures]] = [("Candidate", candidate)]
        if live and live.reliability and not evaluation.identical:
            models.append(("Live", live))
        drawn["reliability"] = charts.line_chart(
            "Share of correct predictions by their probability. The table below has the figures.",
            [
                charts.Line(
                    name,
                    [(entry.confidence, entry.accuracy) for entry in model.reliability],
                    [entry.images / evaluation.images for entry in model.reliability],
                )
                for name, model in models
            ],
            "Mean probability of the predictions",
            "Share of correct predictions",
            unit_square=True,
        )
    history = training.history if training else []
    if history:
        for measure, top in (("loss", None), ("accuracy", 1.0)):
            lines = [
                charts.Line(split, [(each.epoch, getattr(each, f"{split}_{measure}")) for each in history])
                for split in ("train", "validation")
            ]
            last = ", ".join(f"{line.name} {line.points[-1][1]:.3f}" for line in lines)
            alt = f"{measure.capitalize()} by epoch; in the last one {last}."
            drawn[measure] = charts.line_chart(alt, lines, "Epoch", measure.capitalize(), top=top)
        columns = [[getattr(each, f"{part}_seconds") for part in TIME_PARTS] for each in history]
        if all(seconds is not None for column in columns for seconds in column):
            total = sum(map(sum, columns))
            drawn["seconds"] = charts.stacked_columns(
                f"Seconds of each epoch by activity; {total:.0f} s in total.",
                TIME_PARTS,
                columns,
                "Epoch",
                "Seconds",
            )
    return drawn


def _most_confused(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    """Return true class, predicted class and number of images of the most frequent confusions."""
    labels = evaluation.classes
    pairs = [
        (labels[row], labels[column], count)
        for row, counts in enumerate(evaluation.candidate.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:MOST_CONFUSED]
