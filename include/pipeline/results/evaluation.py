"""The content of ``evaluation.json``, which the evaluation job writes."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from include.classifier.image_classifier.metric_table import METRICS
from include.pipeline.pages.documents import Document


class Mistake(Document):
    """A wrong prediction."""

    image: str
    """The path of the image within the test split, or within the data set."""
    truth: str
    answer: str
    probability: float
    picture: str | None = None
    """A thumbnail as a ``data:`` URI."""


class Bin(Document):
    """Test images whose predictions have about the same probability."""

    images: int
    confidence: float
    accuracy: float


class ClassFigures(Document):
    """The metrics of a model on one class."""

    images: int
    precision: float
    recall: float
    f1: float


class WorstClass(Document):
    """A class with a low recall."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    label: str = Field(alias="class")
    recall: float
    images: int
    mistaken_for: dict[str, int]
    """The number of images by the class that was predicted instead."""


class ModelFigures(Document):
    """The metrics of a model on the test images, and their details.

    The document has a member for each metric of the table, which :attr:`metrics` returns.
    """

    model_config = ConfigDict(extra="allow")

    accuracy: float
    accuracy_interval: tuple[float, float] | None = None
    reliability: list[Bin] = Field([])
    confusion: list[list[int]] = Field([])
    """The number of images of a true class (row) with a prediction (column)."""
    per_class: dict[str, ClassFigures] = Field({})
    worst_classes: list[WorstClass] = Field([])
    mistakes: list[Mistake] = Field([])

    @model_validator(mode="after")
    def _metrics_are_numbers(self) -> ModelFigures:
        for key, value in self.metrics.items():
            if not isinstance(value, int | float):
                raise ValueError(f"{key} is {value!r}, not a number")
        return self

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the table by key. An evaluation of another version may lack some."""
        found = {metric.key: getattr(self, metric.key, None) for metric in METRICS}
        return {key: value for key, value in found.items() if value is not None}


class Incomparable(Document):
    """Why the live model could not be evaluated on the same images."""

    incomparable: str
    classes: list[str] | None = None
    """The classes of the live model, if they are the reason."""


class Difference(Document):
    """The difference between the accuracies of the candidate and the live model."""

    accuracy: float
    interval: tuple[float, float]
    confidence: float
    significant: bool
    only_candidate_right: int | None = None
    """The number of images that only the candidate predicts correctly."""
    only_live_right: int | None = None


DETAILS = {"per_class", "confusion", "mistakes", "worst_classes", "reliability"}
"""The fields of a model's figures that grow with classes and images."""


class Evaluation(Document):
    """The content of ``evaluation.json``."""

    images: int
    """The number of test images."""
    classes: list[str] = Field([])
    candidate: ModelFigures
    live: ModelFigures | Incomparable | None = None
    """None if no model is live."""
    difference: Difference | None = None
    identical: bool = False
    """Whether the candidate and the live model are the same file."""

    @property
    def compared(self) -> ModelFigures | None:
        """The live model's metrics on the same images, if it could be evaluated."""
        return self.live if isinstance(self.live, ModelFigures) else None

    @property
    def incomparable(self) -> Incomparable | None:
        """Why the live model could not be evaluated; None if it could, or no model is live."""
        return self.live if isinstance(self.live, Incomparable) else None

    @property
    def class_changes(self) -> tuple[list[str], list[str]]:
        """The classes that only the live model has, and the classes that only the candidate has.

        A renamed class is in both lists. Both are empty if no model is live, or its classes are not known.
        """
        theirs = self.incomparable.classes if self.incomparable else None
        if theirs is None:
            return [], []
        removed = [label for label in theirs if label not in self.classes]
        return removed, [label for label in self.classes if label not in theirs]

    def without_details(self) -> Evaluation:
        """Return the evaluation without the fields that grow with classes and images, which stay in S3."""
        models = {"candidate": DETAILS, "live": DETAILS}
        return Evaluation.model_validate(self.model_dump(mode="json", exclude=models, exclude_unset=True))
