"""The report of a run: an HTML page for people and a JSON summary for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from include.classifier.image_classifier.metric_table import METRICS
from include.pipeline import cost, evaluation_report, live_version, tuning_report
from include.pipeline.evaluation_report import EvaluationReport
from include.pipeline.live_version import LiveVersion
from include.pipeline.names import endpoint_name, function_name, split_s3_uri
from include.pipeline.pages import page, pictures
from include.pipeline.pages.documents import Run
from include.pipeline.results import (
    BilledCost,
    ReleaseReport,
    RollbackReport,
    RunCost,
    RunReport,
    SmokeTestRequest,
    SmokeTestResult,
    StepResults,
    TrainedModel,
)
from include.pipeline.settings import Project

PAGE, SUMMARY = "report.html", "summary.json"
UNCHANGED = "Nothing has changed since the live model was made."
MISTAKES_SHOWN = 6
PICTURED_ANSWERS = 6


Report = TypeVar("Report", bound=RunReport)


def summarize(
    project: Project,
    run: Run,
    results: StepResults,
    *,
    live: LiveVersion | None,
    answer: str | None,
    evaluation: EvaluationReport | None,
    billed: BilledCost | None,
    bucket: str,
) -> ReleaseReport:
    """Build the report of a run of ``train_and_deploy``.

    :param live: the model that is live at the end of the run.
    :param answer: who approved or rejected the candidate, in a sentence; None if approval was not required.
    :param evaluation: the report of the evaluation, if the run has made one.
    :param billed: see :func:`include.pipeline.cost.actual`.
    """
    data, tuning, trained, gate = results.stage_data, results.tune, results.trained, results.gate
    released = results.smoke_test is not None
    version = results.registered.version if results.registered else None
    judged = gate.evaluation if gate else None
    candidate = judged.candidate if judged else None
    metrics = candidate.metrics if candidate else {}
    removed, added = judged.class_changes if judged else ([], [])
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
        test_macro_f1=metrics.get("macro_f1"),
        test_ece=metrics.get("ece"),
        test_metrics=metrics,
        live_accuracy=judged.compared.accuracy if judged and judged.compared else None,
        difference=judged.difference if judged else None,
        comparison=evaluation_report.comparison(judged) if judged else None,
        evaluation_page=f"{folder}/{evaluation_report.PAGE}" if results.evaluate else None,
        tuning_page=f"{folder}/{tuning_report.PAGE}" if tuning else None,
        cost=RunCost(estimate=estimate, actual=billed) if estimate and billed else None,
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
    """Build the report of a rollback."""
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


def publish(project: Project, report: Report, bucket: str, s3: Any) -> Report:
    """Write ``report.html`` and ``summary.json`` to ``s3://<bucket>/<project>/runs/<run>/``.

    :return: the report with the S3 URI of the page.
    """
    folder = page.run_folder(bucket, project, report.run.id)
    target, prefix = split_s3_uri(folder)
    s3.put_object(
        Bucket=target,
        Key=f"{prefix}/{SUMMARY}",
        Body=report.model_dump_json(indent=2, exclude={"report"}).encode(),
        ContentType="application/json",
    )
    uri = f"{folder}/{PAGE}"
    page.put(render(_with_pictures(report, project, s3), uri), uri, s3)
    return report.model_copy(update={"report": uri})


def render(report: RunReport, uri: str) -> str:
    """Return the page as HTML.

    :param uri: the S3 URI of the page.
    """
    wrong = _wrong(report)
    if not isinstance(report, ReleaseReport):
        links = page.navigation(uri, report.run)
        return page.render("rollback.html", links=links, report=report, wrong=wrong)
    links = page.navigation(
        uri,
        report.run,
        Evaluation=report.evaluation_page,
        Tuning=report.tuning_page,
        Data_report=report.data_report,
    )
    cost_rows = cost.rows(report.cost.estimate, report.cost.actual) if report.cost else []
    return page.render(
        "run.html",
        links=links,
        report=report,
        wrong=wrong,
        metrics=METRICS,
        cost_rows=cost_rows,
        shown=MISTAKES_SHOWN,
    )


def _wrong(report: RunReport) -> list[SmokeTestRequest]:
    return (
        [request for request in report.smoke_test.requests if not request.right] if report.smoke_test else []
    )


def _with_pictures(report: RunReport, project: Project, s3: Any) -> RunReport:
    """Return the report with thumbnails of the images that the smoke test got wrong."""
    if report.data is None or report.smoke_test is None:
        return report
    wrong = [request.image for request in _wrong(report) if request.image][:PICTURED_ANSWERS]
    uris = [f"{report.data}/{image}" for image in wrong]
    thumbnails = pictures.read_thumbnails(uris, s3, project.data.max_pixels)
    pictured = dict(zip(wrong, thumbnails, strict=True))
    requests = [
        request.model_copy(update={"picture": pictured.get(request.image)})
        for request in report.smoke_test.requests
    ]
    return report.model_copy(
        update={"smoke_test": report.smoke_test.model_copy(update={"requests": requests})}
    )


def _spot_saving(training: TrainedModel) -> float | None:
    """Return the share of the training time that is not billed. SageMaker states spot savings the same way."""
    billable, seconds = training.billable_seconds, training.training_seconds
    # EC2 bills the whole time that an instance runs, which is longer than the training.
    return max(0.0, 1 - billable / seconds) if billable is not None and seconds else None
