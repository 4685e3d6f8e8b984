"""The metrics of a model on test images: one row for each, with its name, format and use.

The evaluation job computes them, and Airflow reads the same rows, so the file imports no PyTorch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric."""

    key: str
    """Its key in evaluation.json, in project files and in the model registry."""
    title: str
    """Its name in a table."""
    phrase: str
    """Its name in a sentence."""
    higher_is_better: bool
    digits: int = 3
    """Decimal places, after the division by divisor."""
    unit: str = ""
    divisor: float = 1
    compared: bool = False
    """Whether gate.metric may name it. Such a metric is a share, and is recorded with the model package."""
    ceiling: str | None = None
    """The key of the gate that limits it, in its unit."""

    def text(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{value / self.divisor:,.{self.digits}f}{self.unit}"


METRICS = (
    Metric("accuracy", "Accuracy", "accuracy", True, compared=True),
    Metric("top5_accuracy", "Top-5 accuracy", "top-5 accuracy", True, compared=True),
    Metric("macro_f1", "Macro F1", "macro F1", True, compared=True),
    Metric("loss", "Cross-entropy loss", "cross-entropy loss", False),
    Metric("ece", "Expected calibration error", "expected calibration error", False),
    Metric(
        "milliseconds_per_image",
        "Latency, median",
        "median latency for an image",
        False,
        digits=1,
        unit=" ms",
    ),
    Metric(
        "milliseconds_p95",
        "Latency, 95th percentile",
        "95th percentile of the latency for an image",
        False,
        digits=1,
        unit=" ms",
        ceiling="max_latency_ms",
    ),
    Metric(
        "size_bytes",
        "Size of model.tar.gz",
        "size of model.tar.gz",
        False,
        digits=1,
        unit=" MB",
        divisor=1_000_000,
        ceiling="max_size_mb",
    ),
)
BY_KEY = {metric.key: metric for metric in METRICS}
COMPARED = tuple(metric.key for metric in METRICS if metric.compared)
