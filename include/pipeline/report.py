"""The report of a run: a page for people and a summary for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from include.pipeline import cost, evaluation_report, live_version, tuning_report
from include.pipeline.evaluation_report import EvaluationReport
from include.pipeline.gate import class_changes
from include.pipeline.live_version import LiveVersion
from include.pipeline.names import endpoint_name, function_name, split_s3_uri
from include.pipeline.pages import page, pictures
from include.pipeline.pages.documents import Document, Run
from include.pipeline.results import (
    Answer,
    Difference,
    Mistake,
    SmokeTestResult,
    StepResults,
    TrainingResult,
    TrainingWarning,
    Trial,
)
from include.pipeline.settings import Project

PAGE, SUMMARY = "report.html", "summary.json"
UNCHANGED = "Nothing has changed since the live model was made."
MISTAKES_SHOWN = 6
PICTURED_ANSWERS = 6


class RunReport(Document):
    """What every kind of run has in its report.

    :param now: what is true at the end of the run, in a sentence or two.
    :param outcome: what was decided in the run, and why.
    :param data: the S3 prefix of the data set that the smoke test took its images from, if it is known.
    """

    project: str
    description: str
    run: Run
    ended: datetime
    now: str
    outcome: str
    smoke_test: SmokeTestResult | None = None
    data: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long the run took."""
        return (self.ended - self.run.started).total_seconds() if self.run.started else None


class RollbackReport(RunReport):
    """What a rollback did; ``model`` is the name of the one that is live again."""

    model: str


class ReleaseReport(RunReport):
    """What a run of ``train_and_deploy`` did. Parts that the run did not reach are None.

    :param images: by split; ``classes`` is their number.
    :param released: whether the run has released its candidate.
    :param test_ece: expected calibration error on the test images, as the others with this prefix.
    :param spot_saving: the share of the training time that spot instances saved.
    :param cost: ``estimate`` and ``actual``, see :mod:`include.pipeline.cost`.
    :param evaluation_page: an S3 URI; likewise ``tuning_page`` and ``data_report``.
    :param mistakes: of the evaluation, the most confident first; shown on the page, not part of the summary.
    """

    released: bool
    images: dict[str, int]
    classes: int
    removed_classes: list[str]
    added_classes: list[str]
    fingerprint: str
    data_warnings: list[str]
    set_aside: int
    data_report: str | None
    hyperparameters: dict[str, Any] | None
    objective: str
    trials: list[Trial] | None
    training_job: str | None
    billable_seconds: float | None
    spot_saving: float | None
    warnings: list[TrainingWarning]
    package_version: int | None
    test_images: int | None
    test_accuracy: float | None
    test_accuracy_interval: tuple[float, float] | None
    test_macro_f1: float | None
    test_ece: float | None
    live_accuracy: float | None
    difference: Difference | None
    comparison: str | None
    evaluation_page: str | None
    tuning_page: str | None
    cost: dict[str, Any] | None
    endpoint: str | None
    function: str | None
    mistakes: list[Mistake] = Field(exclude=True)


def summarize(
    project: Project,
    run: Run,
    results: StepResults,
    *,
    live: LiveVersion | None,
    answer: str | None,
    evaluation: EvaluationReport | None,
    billed: dict[str, Any] | None,
    bucket: str,
) -> ReleaseReport:
    """Put together what a run of ``train_and_deploy`` did.

    :param live: the model that is live at its end.
    :param answer: who has approved or rejected the candidate, in a sentence; None if nobody was asked.
    :param evaluation: the report of the evaluation, if the run has made one.
    :param billed: see :func:`include.pipeline.cost.actual`.
    """
    data, tuning, trained, gate = results.stage_data, results.tune, results.trained, results.gate
    released = results.smoke_test is not None
    version = results.registered.version if results.registered else None
    judged = gate.evaluation if gate else None
    candidate = judged.candidate if judged else None
    removed, added = class_changes(judged.model_dump(exclude_none=True)) if judged else ([], [])
    training = evaluation.training if evaluation else None
    ended = datetime.now(UTC)
    folder = page.run_folder(bucket, project, run.id)
    estimate = results.estimate_cost
    return ReleaseReport(
        project=project.name,
        description=project.description,
        run=run,
        ended=ended,
        now=live_version.sentence(
            live, ended, rejected=None if released else version, unchanged=gate is None
        ),
        outcome=" ".join(filter(None, [gate.reason if gate else UNCHANGED, answer])),
        released=released,
        images=data.counts,
        classes=len(data.classes),
        removed_classes=removed,
        added_classes=added,
        data=data.uri,
        fingerprint=data.fingerprint,
        data_warnings=data.warnings,
        set_aside=data.set_aside,
        data_report=data.report,
        hyperparameters=tuning.hyperparameters if tuning else None,
        objective=project.tuning.objective,
        trials=tuning.trials if tuning else None,
        training_job=trained.name if trained else None,
        billable_seconds=trained.billable_seconds if trained else None,
        spot_saving=_spot_saving(trained) if project.training.spot and trained else None,
        warnings=(training.warnings if training else None) or [],
        package_version=version,
        test_images=judged.images if judged else None,
        test_accuracy=candidate.accuracy if candidate else None,
        test_accuracy_interval=candidate.accuracy_interval if candidate else None,
        test_macro_f1=candidate.macro_f1 if candidate else None,
        test_ece=candidate.ece if candidate else None,
        live_accuracy=judged.compared.accuracy if judged and judged.compared else None,
        difference=judged.difference if judged else None,
        comparison=evaluation_report.comparison(judged) if judged else None,
        evaluation_page=f"{folder}/{evaluation_report.PAGE}" if results.evaluate else None,
        tuning_page=f"{folder}/{tuning_report.PAGE}" if tuning else None,
        cost={"estimate": estimate, "actual": billed} if estimate and billed else None,
        smoke_test=results.smoke_test,
        endpoint=endpoint_name(project) if released else None,
        function=function_name(project) if released else None,
        mistakes=evaluation.evaluation.candidate.mistakes if evaluation else [],
    )


def summarize_rollback(
    project: Project,
    run: Run,
    *,
    live: LiveVersion | None,
    outcome: str,
    model: str,
    smoke_test: SmokeTestResult,
    data: str | None,
) -> RollbackReport:
    """Put together what a rollback did; see :class:`RollbackReport`."""
    ended = datetime.now(UTC)
    return RollbackReport(
        project=project.name,
        description=project.description,
        run=run,
        ended=ended,
        now=live_version.sentence(live, ended),
        outcome=outcome,
        model=model,
        smoke_test=smoke_test,
        data=data,
    )


def publish(project: Project, report: RunReport, bucket: str, s3: Any) -> str:
    """Put ``report.html`` and ``summary.json`` below ``s3://<bucket>/<project>/runs/<run>/``.

    :return: the S3 URI of the page.
    """
    folder = page.run_folder(bucket, project, report.run.id)
    target, prefix = split_s3_uri(folder)
    s3.put_object(
        Bucket=target,
        Key=f"{prefix}/{SUMMARY}",
        Body=report.model_dump_json(indent=2).encode(),
        ContentType="application/json",
    )
    uri = f"{folder}/{PAGE}"
    return page.put(render(_with_pictures(report, project, s3), uri), uri, s3)


def render(report: RunReport, uri: str) -> str:
    """Return the page as HTML.

    :param uri: where the page is put.
    """
    content: dict[str, Any] = {"report": report, "wrong": _wrong(report)}
    if not isinstance(report, ReleaseReport):
        return page.render("rollback.html", links=page.navigation(uri, report.run), **content)
    links = page.navigation(
        uri,
        report.run,
        Evaluation=report.evaluation_page,
        Tuning=report.tuning_page,
        Data_report=report.data_report,
    )
    cost_rows = cost.rows(report.cost["estimate"], report.cost["actual"]) if report.cost else []
    return page.render("run.html", links=links, cost_rows=cost_rows, shown=MISTAKES_SHOWN, **content)


def _wrong(report: RunReport) -> list[Answer]:
    return [answer for answer in report.smoke_test.requests if not answer.right] if report.smoke_test else []


def _with_pictures(report: RunReport, project: Project, s3: Any) -> RunReport:
    """Return the report with pictures of what the smoke test answered wrongly."""
    if report.data is None:
        return report
    pictured = report.model_copy(deep=True)
    wrong = [answer for answer in _wrong(pictured) if answer.image][:PICTURED_ANSWERS]
    uris = [f"{report.data}/{answer.image}" for answer in wrong]
    for answer, thumbnail in zip(
        wrong, pictures.read_thumbnails(uris, s3, project.data.max_pixels), strict=True
    ):
        answer.picture = thumbnail
    return pictured


def _spot_saving(training: TrainingResult) -> float | None:
    """Return the share of the training time that is not billed, as SageMaker states what spot instances save."""
    billable, seconds = training.billable_seconds, training.training_seconds
    # EC2 bills an instance for longer than it trains.
    return max(0.0, 1 - billable / seconds) if billable is not None and seconds else None
