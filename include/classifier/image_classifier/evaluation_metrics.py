"""What a model's answers on labeled images amount to: accuracy, F1, calibration, confusions, time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data import Split
from .metric_table import METRICS

TOP = 5
BINS = 15
MAX_WORST_CLASSES = 10
MAX_CONFUSED_WITH = 3
MAX_MISTAKES = 24

Answer = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """The answers of one model on the images of a split: arrays with one value for each image."""

    rank: np.ndarray
    """Of the right class among the answers; 0 is first."""
    loss: np.ndarray
    """-ln of the probability of the right class."""
    milliseconds: np.ndarray
    """What a single request took."""
    classes: dict[str, dict[str, Any]]
    """See per_class."""
    bins: list[dict[str, Any]]
    """See reliability."""
    size_bytes: int
    """Of model.tar.gz."""


COMPUTATIONS: dict[str, Callable[[Measured], float]] = {
    "accuracy": lambda found: float((found.rank == 0).mean()),
    "top5_accuracy": lambda found: float((found.rank < TOP).mean()),
    "macro_f1": lambda found: float(np.mean([entry["f1"] for entry in found.classes.values()])),
    "loss": lambda found: float(found.loss.mean()),
    "ece": lambda found: expected_calibration_error(found.bins),
    "milliseconds_per_image": lambda found: float(np.median(found.milliseconds)),
    "milliseconds_p95": lambda found: float(np.quantile(found.milliseconds, 0.95)),
    "size_bytes": lambda found: found.size_bytes,
}
"""How each metric of the table is computed."""


def measure(answers: list[Answer], split: Split, size_bytes: int) -> dict[str, Any]:
    """Measure one model.

    :param answers: for each image of the split: answer (the most probable class) and its probability, rank
        (0 = first) and loss (-ln of its probability) of the right class, and the milliseconds it took.
    :param size_bytes: the size of its model.tar.gz.
    :return: each metric of metric_table.METRICS by its key; the reliability that the calibration error is
        made of, confusion, per_class and worst_classes.
    """
    index = {label: number for number, label in enumerate(split.classes)}
    answered = np.array([index[answer["answer"]] for answer in answers])
    rank, loss, probability, milliseconds = (
        np.array([answer[name] for answer in answers], float)
        for name in ("rank", "loss", "probability", "milliseconds")
    )
    matrix = confusion(np.array(split.labels), answered, len(split.classes))
    classes = per_class(matrix, split.classes)
    bins = reliability(probability, rank == 0)
    found = Measured(rank, loss, milliseconds, classes, bins, size_bytes)
    return {
        **{metric.key: COMPUTATIONS[metric.key](found) for metric in METRICS},
        "reliability": bins,
        "confusion": matrix.tolist(),
        "per_class": classes,
        "worst_classes": worst_classes(matrix, split.classes),
    }


def confusion(truth: np.ndarray, answered: np.ndarray, classes: int) -> np.ndarray:
    """Count images, C x C: those of class i (row) that were answered with class j (column)."""
    return np.bincount(truth * classes + answered, minlength=classes**2).reshape(classes, classes)


def per_class(matrix: np.ndarray, labels: list[str]) -> dict[str, dict[str, Any]]:
    """Return images, precision, recall and F1 of each class; 0 where a share of nothing is asked for."""
    right, shown, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = right / np.maximum(answered, 1), right / np.maximum(shown, 1)
    f1 = 2 * right / np.maximum(shown + answered, 1)
    return {
        label: {
            "images": int(shown[number]),
            "precision": float(precision[number]),
            "recall": float(recall[number]),
            "f1": float(f1[number]),
        }
        for number, label in enumerate(labels)
    }


def worst_classes(matrix: np.ndarray, labels: list[str]) -> list[dict[str, Any]]:
    """Return the classes with the lowest recall, worst first, and how often they are taken for which others.

    Classes without a mistake are left out.
    """
    recall = np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)
    wrong = matrix - np.diag(np.diag(matrix))
    worst = [number for number in np.argsort(recall, kind="stable") if wrong[number].any()]
    return [
        {
            "class": labels[number],
            "recall": float(recall[number]),
            "images": int(matrix[number].sum()),
            "mistaken_for": {
                labels[other]: int(wrong[number, other])
                for other in np.argsort(-wrong[number], kind="stable")[:MAX_CONFUSED_WITH]
                if wrong[number, other]
            },
        }
        for number in worst[:MAX_WORST_CLASSES]
    ]


def reliability(probability: np.ndarray, correct: np.ndarray) -> list[dict[str, Any]]:
    """Compare what a model says of itself with what is true, in 15 bins of equal width.

    :param probability: of the answer that was given, of N images; bin m holds those above (m - 1) / 15 and
        up to m / 15.
    :param correct: whether it was right.
    :return: for each bin that is not empty: images, and their mean confidence and accuracy.
    """
    bins = np.clip(np.ceil(probability * BINS) - 1, 0, BINS - 1).astype(int)
    return [
        {
            "images": int((bins == number).sum()),
            "confidence": float(probability[bins == number].mean()),
            "accuracy": float(correct[bins == number].mean()),
        }
        for number in np.unique(bins)
    ]


def expected_calibration_error(bins: list[dict[str, Any]]) -> float:
    """Return the mean distance of confidence and accuracy, 0 to 1, the bins weighted by their images.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017, equation 3; with the
    15 bins of the experiments there.
    """
    images = sum(entry["images"] for entry in bins)
    return sum(entry["images"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins) / images


def mistakes(answers: list[Answer], split: Split, directory: Path) -> list[dict[str, Any]]:
    """Return the wrong answers, the most confident first, at most 24.

    :param directory: the split's folder.
    :return: image (its path below that folder), truth, answer and probability.
    """
    wrong = [
        {
            "image": path.relative_to(directory).as_posix(),
            "truth": split.classes[label],
            "answer": answer["answer"],
            "probability": answer["probability"],
        }
        for answer, path, label in zip(answers, split.paths, split.labels, strict=True)
        if answer["rank"] > 0
    ]
    return sorted(wrong, key=lambda mistake: -mistake["probability"])[:MAX_MISTAKES]
