"""Intervals say how far a measured accuracy, or a difference of two, can be trusted."""

import numpy as np
import pytest
from image_classifier import significance


def outcomes(right: int, images: int) -> np.ndarray:
    return np.arange(images) < right


@pytest.mark.parametrize(
    ("right", "images", "interval"),
    [
        # The score method's intervals in Newcombe: Two-sided confidence intervals for the single proportion,
        # Statistics in Medicine 17, 1998, table I.
        (81, 263, [0.2553, 0.3662]),
        (15, 148, [0.0624, 0.1605]),
        (0, 20, [0.0000, 0.1611]),
        (1, 29, [0.0061, 0.1718]),
    ],
)
def test_the_interval_of_an_accuracy_is_wilsons(right: int, images: int, interval: list[float]) -> None:
    assert significance.accuracy_interval(outcomes(right, images)) == pytest.approx(interval, abs=5e-5)


def test_an_accuracy_of_one_on_few_images_is_not_certain() -> None:
    low, high = significance.accuracy_interval(outcomes(12, 12))

    assert low == pytest.approx(0.7575, abs=5e-5)
    assert high == 1


def test_the_interval_of_a_difference_is_that_of_resampling_the_images() -> None:
    random = np.random.default_rng(1)
    candidate, live = random.random(300) < 0.85, random.random(300) < 0.8
    drawn = random.integers(0, 300, (20_000, 300))
    expected = np.quantile((candidate[drawn].mean(axis=1) - live[drawn].mean(axis=1)), [0.025, 0.975])

    difference = significance.accuracy_difference(candidate, live)

    assert difference["accuracy"] == pytest.approx(candidate.mean() - live.mean())
    assert difference["interval"] == pytest.approx(expected, abs=0.004)  # an image more or less is 0.0033


@pytest.mark.parametrize(
    ("candidate", "live", "significant"),
    [
        pytest.param(190, 160, True, id="a clear gain"),
        pytest.param(160, 190, True, id="a clear loss"),
        pytest.param(181, 180, False, id="one image of 200"),
    ],
)
def test_only_a_difference_beyond_chance_is_significant(candidate: int, live: int, significant: bool) -> None:
    difference = significance.accuracy_difference(outcomes(candidate, 200), outcomes(live, 200))

    assert difference["significant"] is significant
    assert difference["only_candidate_right"] == max(candidate - live, 0)
    assert difference["only_live_right"] == max(live - candidate, 0)


def test_models_that_are_right_on_the_same_images_do_not_differ() -> None:
    difference = significance.accuracy_difference(outcomes(5, 9), outcomes(5, 9))

    assert (difference["accuracy"], difference["interval"], difference["significant"]) == (0, [0, 0], False)


def test_a_shared_difficulty_narrows_the_interval() -> None:
    # Equal accuracies in both cases; in the first, the two fail on the same images but for ten.
    shared = significance.accuracy_difference(outcomes(110, 200), outcomes(100, 200))
    apart = significance.accuracy_difference(outcomes(110, 200), ~outcomes(100, 200))

    width = [high - low for low, high in (shared["interval"], apart["interval"])]
    assert width[0] < width[1] / 3
    assert shared["significant"]
    assert not apart["significant"]


def test_the_same_answers_give_the_same_interval() -> None:
    candidate, live = outcomes(90, 120), ~outcomes(50, 120)

    assert significance.accuracy_difference(candidate, live) == significance.accuracy_difference(
        candidate, live
    )
