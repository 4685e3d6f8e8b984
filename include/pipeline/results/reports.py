"""The reports of runs: the results of the tasks ``report``, and the content of ``summary.json``."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from include.pipeline.pages.documents import Document, Run
from include.pipeline.results.costs import RunCost
from include.pipeline.results.evaluation import Difference, Mistake
from include.pipeline.results.release import SmokeTestResult
from include.pipeline.results.training import TrainingWarning, Trial


class RunReport(Document):
    """The fields that the report of every kind of run has.

    :param now: the state at the end of the run, in one or two sentences.
    :param outcome: what the run decided, and why.
    :param data: the S3 prefix of the data set that the smoke test took its images from, if known.
    :param report: the S3 URI of the page, after it was stored.
    """

    project: str
    description: str
    run: Run
    ended: datetime
    now: str
    outcome: str
    smoke_test: SmokeTestResult | None = None
    data: str | None = None
    report: str | None = None

    @property
    def seconds(self) -> float | None:
        """The duration of the run."""
        return (self.ended - self.run.started).total_seconds() if self.run.started else None


class RollbackReport(RunReport):
    """The report of a rollback; ``model`` is the name of the model that is live again."""

    model: str


class ReleaseReport(RunReport):
    """The report of a run of ``train_and_deploy``. Parts that the run did not reach are None.

    :param images: the number of images by split.
    :param classes: the number of classes.
    :param released: whether the run has released its candidate.
    :param test_metrics: all metrics of the candidate on the test images, by key.
    :param spot_saving: the share of the training time that spot instances saved.
    :param evaluation_page: the S3 URI of the page; likewise ``tuning_page`` and ``data_report``.
    :param mistakes: the mistakes in the evaluation, the most confident first; on the page, not in the summary.
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
    hyperparameters: dict[str, str] | None
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
    test_metrics: dict[str, float]
    live_accuracy: float | None
    difference: Difference | None
    comparison: str | None
    evaluation_page: str | None
    tuning_page: str | None
    cost: RunCost | None
    endpoint: str | None
    function: str | None
    mistakes: list[Mistake] = Field([], exclude=True)
