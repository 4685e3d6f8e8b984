"""What the steps of a run return and their jobs write, as far as pages show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from include.pipeline.pages.documents import Document


class StagedData(Document):
    """What the task ``stage_data`` returns.

    :param counts: images by split.
    :param report: the S3 URI of the data report.
    """

    uri: str | None = None
    fingerprint: str
    classes: list[str]
    counts: dict[str, int]
    warnings: list[str] = Field([])
    set_aside: int = 0
    report: str | None = None


class Trial(Document):
    """One training job of a tuning job; ``objective`` is None if it did not report any."""

    name: str
    hyperparameters: dict[str, Any]
    objective: float | None = None
    status: str

    def number(self, name: str) -> float:
        """Return a hyperparameter. SageMaker gives it as text, with quotation marks if it is one of a list."""
        return float(str(self.hyperparameters[name]).strip('"'))


class TuningResult(Document):
    """What the task ``tune`` returns."""

    name: str | None = None
    best_job: str | None = None
    hyperparameters: dict[str, Any]
    objective: float | None = None
    trials: list[Trial] = Field([])
    billable_seconds: float | None = None


class TrainingResult(Document):
    """What the tasks ``train`` and ``train_on_ec2`` return.

    :param artifact: the S3 URI of ``model.tar.gz``.
    """

    name: str
    artifact: str
    billable_seconds: float | None = None
    training_seconds: float | None = None


class Epoch(Document):
    """One epoch, as ``history.json`` has it."""

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
    """Something that the checks of the training loop have found, as ``diagnosis.json`` has it."""

    check: str
    message: str


class TrainingRecord(Document):
    """What a training recorded of itself.

    :param warnings: None if the training did not check itself.
    :param unreadable: why the record can't be read; None if it can.
    """

    history: list[Epoch] = Field([])
    warnings: list[TrainingWarning] | None = None
    unreadable: str | None = None


class Mistake(Document):
    """A wrong answer.

    :param image: the path of the image within the test split, or within the data set.
    :param picture: a small JPEG as a ``data:`` URI; None without one.
    """

    image: str
    truth: str
    answer: str
    probability: float
    picture: str | None = None


class Bin(Document):
    """Test images that the model answered with about the same probability."""

    images: int
    confidence: float
    accuracy: float


class ClassFigures(Document):
    """How well a model recognizes one class."""

    images: int
    precision: float
    recall: float
    f1: float


class ModelFigures(Document):
    """How good a model is on the test images. Times are milliseconds of single requests."""

    accuracy: float
    accuracy_interval: tuple[float, float] | None = None
    top5_accuracy: float | None = None
    macro_f1: float | None = None
    loss: float | None = None
    ece: float | None = None
    milliseconds_per_image: float | None = None
    milliseconds_p95: float | None = None
    size_bytes: int | None = None
    reliability: list[Bin] = Field([])
    confusion: list[list[int]] = Field([])
    per_class: dict[str, ClassFigures] = Field({})
    worst_classes: list[dict[str, Any]] = Field([])
    mistakes: list[Mistake] = Field([])


class Incomparable(Document):
    """Why the live model could not be evaluated on the same images."""

    incomparable: str
    classes: list[str] | None = None


class Difference(Document):
    """By how much the accuracies of the candidate and of the live model differ."""

    accuracy: float
    interval: tuple[float, float]
    confidence: float
    significant: bool
    only_candidate_right: int | None = None
    only_live_right: int | None = None


class Evaluation(Document):
    """The content of ``evaluation.json``, which may lack what grows with images and classes.

    :param identical: whether the candidate and the live model are the same file.
    """

    images: int
    classes: list[str] = Field([])
    candidate: ModelFigures
    live: ModelFigures | Incomparable | None = None
    difference: Difference | None = None
    identical: bool = False

    @property
    def compared(self) -> ModelFigures | None:
        """The live model's figures on the same images, if there are any."""
        return self.live if isinstance(self.live, ModelFigures) else None


class EvaluationJob(Document):
    """What the task ``evaluate`` returns; ``output`` is the S3 prefix of ``evaluation.json``."""

    name: str | None = None
    output: str


class Judged(Document):
    """What the task ``gate`` returns."""

    accepted: bool
    reason: str
    evaluation: Evaluation


class FeaturesJob(Document):
    """What the task ``features`` returns."""

    name: str


class Registered(Document):
    """What the task ``register`` returns."""

    version: int


class Answer(Document):
    """One request of a smoke test; ``image`` is its path in the data set."""

    image: str = ""
    truth: str
    label: str
    probability: float
    milliseconds: float
    picture: str | None = None

    @property
    def right(self) -> bool:
        """Whether the answer is the true class."""
        return self.label == self.truth


class SmokeTestResult(Document):
    """What the task ``smoke_test`` returns."""

    accuracy: float
    milliseconds_p95: float | None = None
    requests: list[Answer]


class StepResults(Document):
    """What the steps of a run of ``train_and_deploy`` have returned, by task; None where a step did not succeed."""

    stage_data: StagedData
    features: FeaturesJob | None = None
    tune: TuningResult | None = None
    train: TrainingResult | None = None
    train_on_ec2: TrainingResult | None = None
    evaluate: EvaluationJob | None = None
    registered: Registered | None = Field(None, alias="register")
    gate: Judged | None = None
    smoke_test: SmokeTestResult | None = None
    estimate_cost: dict[str, Any] | None = None

    @property
    def trained(self) -> TrainingResult | None:
        """What the training has returned, wherever it ran."""
        return self.train or self.train_on_ec2

    @property
    def jobs(self) -> dict[str, str | None]:
        """The names of the jobs by step, see :data:`include.pipeline.cost.KINDS`; None where there was none."""
        jobs = {
            "features": self.features,
            "tune": self.tune,
            "train": self.trained,
            "evaluate": self.evaluate,
        }
        return {step: job.name if job else None for step, job in jobs.items()}

    @classmethod
    def read(cls, result: Callable[[str], Any]) -> StepResults:
        """Read the results of all steps.

        :param result: returns what the task of a name has returned, or None.
        """
        tasks = [field.alias or name for name, field in cls.model_fields.items()]
        return cls.model_validate({task: result(task) for task in tasks})
