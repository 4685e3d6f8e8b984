"""What the jobs before the evaluation return and write."""

from __future__ import annotations

from pydantic import Field

from include.pipeline.pages.documents import Document


class ProcessingJob(Document):
    """The result of the tasks ``features`` and ``evaluate``."""

    name: str
    output: str
    """The S3 prefix that the job wrote to."""


class Trial(Document):
    """One training job of a tuning job."""

    name: str
    hyperparameters: dict[str, str]
    objective: float | None = None
    """None if the trial did not report any."""
    status: str

    def number(self, name: str) -> float:
        """Return a hyperparameter. SageMaker returns it as a string, with quotation marks if it is categorical."""
        return float(self.hyperparameters[name].strip('"'))


class TuningResult(Document):
    """The result of the task ``tune``."""

    name: str
    best_job: str | None = None
    hyperparameters: dict[str, str]
    """Those of the best trial, as SageMaker returned them."""
    objective: float | None = None
    trials: list[Trial] = Field([])
    billable_seconds: float | None = None
    """From start to end of all trials together."""


class TrainedModel(Document):
    """The result of the tasks ``train`` and ``train_on_ec2``."""

    name: str
    """The name of the training job."""
    artifact: str
    """The S3 URI of ``model.tar.gz``."""
    billable_seconds: float | None = None
    training_seconds: float | None = None


class Epoch(Document):
    """One epoch in ``history.json``."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    data_seconds: float | None = None
    forward_seconds: float | None = None
    backward_seconds: float | None = None
    other_seconds: float | None = None


class TrainingWarning(Document):
    """A finding of the training loop's checks in ``diagnosis.json``."""

    check: str
    message: str


class TrainingRecord(Document):
    """The record that a training wrote."""

    history: list[Epoch] = Field([])
    warnings: list[TrainingWarning] | None = None
    """None if the training ran without checks."""
    unreadable: str | None = None
    """Why the record can't be read; None if it can."""
