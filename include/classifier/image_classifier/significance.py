"""How far an accuracy on test images can be trusted: intervals of one accuracy, and of a difference."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0


def accuracy_interval(correct: np.ndarray) -> list[float]:
    """Return the 95 % interval [low, high] of an accuracy measured on N images.

    Wilson's score interval (Wilson: Probable Inference, JASA 22, 1927): unlike a bootstrap, it keeps a
    width where every answer was right, as they often are on few images.

    :param correct: N booleans.
    """
    images, share = len(correct), float(correct.mean())
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    center = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) * z / (1 + z**2 / images)
    return [max(center - half, 0.0), min(center + half, 1.0)]


def accuracy_difference(candidate: np.ndarray, live: np.ndarray) -> dict[str, Any]:
    """Say by how much a candidate's accuracy differs from the live model's, and if that may be chance.

    A paired bootstrap over the images (Efron, Tibshirani: An Introduction to the Bootstrap, 1993, percentile
    interval): both models are judged on the same resampled images, so that what makes an image easy or hard
    for both cancels out. On a few dozen images such an interval is too narrow: then take the counts of
    images on which only one is right for what they are.

    :param candidate: whether the candidate was right on each of N images; likewise ``live``.
    :return: accuracy (candidate - live), its interval [low, high] of the given confidence, whether it is
        significant (the interval leaves out 0), and on how many images only one of the two was right.
    """
    images = len(candidate)
    better, worse = int((candidate & ~live).sum()), int((~candidate & live).sum())
    # An image counts +1, -1 or 0. To draw N images with replacement is to draw how often each of the three
    # comes up, which needs no N x resamples matrix.
    shares = np.array([better, worse, images - better - worse]) / images
    drawn = np.random.default_rng(SEED).multinomial(images, shares, size=RESAMPLES)
    low, high = np.quantile(
        (drawn[:, 0] - drawn[:, 1]) / images, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    )
    return {
        "accuracy": (better - worse) / images,
        "interval": [float(low), float(high)],
        "confidence": CONFIDENCE,
        "significant": bool(low > 0 or high < 0),
        "only_candidate_right": better,
        "only_live_right": worse,
    }
