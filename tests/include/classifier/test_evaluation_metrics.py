"""The measures of a model follow from its answers."""

from pathlib import Path

import numpy as np
import pytest
from image_classifier import evaluation_metrics
from image_classifier.data import Split

LABELS = ["a", "b", "c"]
# Of class a 3 of 4 are right, of b 2 of 4, and c is always taken for a.
MATRIX = np.array([[3, 1, 0], [1, 2, 1], [4, 0, 0]])


def answer(label: str, probability: float, rank: int = 0, milliseconds: float = 1.0) -> dict[str, object]:
    return {
        "answer": label,
        "probability": probability,
        "rank": rank,
        "loss": 0.5,
        "milliseconds": milliseconds,
    }


def test_confusions_are_counted_with_the_truth_in_rows() -> None:
    matrix = evaluation_metrics.confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)

    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_each_class_has_precision_recall_and_f1() -> None:
    classes = evaluation_metrics.per_class(MATRIX, LABELS)

    assert classes["a"] == pytest.approx({"images": 4, "precision": 3 / 8, "recall": 3 / 4, "f1": 0.5})
    assert classes["b"] == pytest.approx({"images": 4, "precision": 2 / 3, "recall": 1 / 2, "f1": 4 / 7})


def test_a_class_that_is_never_answered_has_figures_of_zero() -> None:
    never = np.array([[2, 0], [2, 0]])

    assert evaluation_metrics.per_class(never, ["a", "b"])["b"] == {
        "images": 2,
        "precision": 0,
        "recall": 0,
        "f1": 0,
    }


def test_the_worst_classes_come_first_with_what_they_are_taken_for() -> None:
    worst = evaluation_metrics.worst_classes(MATRIX, LABELS)

    assert [(entry["class"], entry["recall"]) for entry in worst] == [("c", 0), ("b", 0.5), ("a", 0.75)]
    assert worst[0]["mistaken_for"] == {"a": 4}
    assert worst[1]["mistaken_for"] == {"a": 1, "c": 1}


def test_a_class_without_a_mistake_is_not_among_the_worst() -> None:
    assert evaluation_metrics.worst_classes(np.diag([3, 4]), ["a", "b"]) == []


def test_calibration_is_the_distance_of_confidence_and_accuracy_weighted_by_images() -> None:
    # Three answers of 0.9 of which two are right, one answer of 0.3 that is wrong.
    bins = evaluation_metrics.reliability(np.array([0.9, 0.9, 0.9, 0.3]), np.array([1, 1, 0, 0]))

    assert [entry["images"] for entry in bins] == [1, 3]
    error = evaluation_metrics.expected_calibration_error(bins)
    assert error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.3)


def test_a_model_that_is_right_as_often_as_it_says_has_no_calibration_error() -> None:
    probability = np.repeat([0.25, 0.75], 400)
    correct = np.concatenate([np.arange(400) < 100, np.arange(400) < 300])

    bins = evaluation_metrics.reliability(probability, correct)

    assert evaluation_metrics.expected_calibration_error(bins) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("probability", "beside"),
    [
        pytest.param(0.0, 1 / 15, id="zero is in the first bin"),
        pytest.param(1.0, 0.94, id="one is in the last bin"),
        pytest.param(2 / 15, 0.08, id="an upper edge is in the bin below it"),
    ],
)
def test_bins_are_equally_wide_and_closed_above(probability: float, beside: float) -> None:
    bins = evaluation_metrics.reliability(np.array([probability, beside]), np.array([True, True]))

    assert [entry["images"] for entry in bins] == [2]


def test_ranks_and_times_are_summed_up() -> None:
    split = Split("test", LABELS, [Path(f"{number}.jpg") for number in range(4)], [0, 1, 2, 0])
    answers = [
        answer("a", 0.9, milliseconds=1),
        answer("b", 0.9, milliseconds=2),
        answer("a", 0.9, rank=4, milliseconds=3),
        answer("b", 0.9, rank=5, milliseconds=104),
    ]

    measured = evaluation_metrics.measure(answers, split, size_bytes=7)

    assert (measured["accuracy"], measured["top5_accuracy"], measured["loss"]) == (0.5, 0.75, 0.5)
    assert measured["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert measured["milliseconds_per_image"] == 2.5
    assert measured["size_bytes"] == 7
    assert measured["milliseconds_p95"] == pytest.approx(3 + 0.85 * 101)
    assert measured["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_the_most_confident_mistakes_come_first_and_are_not_too_many() -> None:
    paths = [Path(f"/data/test/a/{number}.jpg") for number in range(41)]
    answers = [answer("b", 0.5 + number / 100, rank=1) for number in range(40)] + [answer("a", 1.0)]

    mistakes = evaluation_metrics.mistakes(
        answers, Split("test", LABELS, paths, [0] * 41), Path("/data/test")
    )

    assert mistakes[0] == {"image": "a/39.jpg", "truth": "a", "answer": "b", "probability": 0.89}
    assert [mistake["image"] for mistake in mistakes] == [f"a/{number}.jpg" for number in range(39, 15, -1)]
