"""The report of a tuning job: its trials, best first, and their objective by learning rate."""

from __future__ import annotations

from typing import Any

from include.pipeline.pages import page
from include.pipeline.pages.documents import Chart, Run
from include.pipeline.results import Trial, TuningResult
from include.pipeline.settings import Project

PAGE = "tuning.html"
OBJECTIVES = {"validation_loss": "Validation loss", "validation_accuracy": "Validation accuracy"}


def publish(project: Project, run: Run, bucket: str, s3: Any, tuning: TuningResult) -> str:
    """Store the report with the pages of the run, and return its S3 URI."""
    uri = f"{page.run_folder(bucket, project, run.id)}/{PAGE}"
    return page.put(render(project, run, tuning, uri), uri, s3)


def render(project: Project, run: Run, tuning: TuningResult, uri: str) -> str:
    """Return the page as HTML.

    :param uri: the S3 URI of the page.
    """
    trials = ranked(tuning.trials, project.tuning.objective)
    links = page.navigation(uri, run)
    return page.render(
        "tuning.html",
        project=project,
        run=run,
        tuning=tuning,
        trials=trials,
        objective=OBJECTIVES[project.tuning.objective],
        chart_=_chart(trials, OBJECTIVES[project.tuning.objective]),
        links=links,
    )


def ranked(trials: list[Trial], objective: str) -> list[Trial]:
    """Return the trials, best first; trials that did not report their objective come last.

    :param objective: a key of ``OBJECTIVES``.
    """
    judged = [trial for trial in trials if trial.objective is not None]
    judged.sort(key=lambda trial: trial.objective or 0.0, reverse=objective == "validation_accuracy")
    return [*judged, *(trial for trial in trials if trial.objective is None)]


def _chart(trials: list[Trial], objective: str) -> Chart | None:
    """Draw the trials that reported their objective; a single one needs no chart."""
    judged = [trial for trial in trials if trial.objective is not None]
    if len(judged) < 2:
        return None
    from include.pipeline.pages import charts  # importing matplotlib takes a second

    points = [
        charts.Point(trial.number("learning_rate"), trial.objective or 0.0, f"{trial.number('batch_size'):g}")
        for trial in judged
    ]
    return charts.scatter_chart(
        f"{objective} of each trial by its learning rate. The table has the figures.",
        points,
        "Learning rate (logarithmic)",
        objective,
        "batch size",
    )
