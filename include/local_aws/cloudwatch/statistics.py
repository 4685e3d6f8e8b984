"""Statistics of a metric's samples in a period."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Sample:
    """Values that were put at a moment (epoch seconds): one, or a set of which these statistics are known."""

    time: float
    count: float
    total: float
    lowest: float
    highest: float


def statistic(name: str, samples: Sequence[Sample]) -> float | None:
    """Return a statistic of samples; None where there is none.

    A percentile (``p99``) leaves out sets of different values, since the values are not known.

    :raises ValueError: for a statistic that is not among CloudWatch's basic ones and percentiles
    """
    count = sum(sample.count for sample in samples)
    percentile = _PERCENTILE.fullmatch(name)
    if percentile:
        known = [sample for sample in samples if sample.lowest == sample.highest]
        values = sorted(value for sample in known for value in repeat(sample.lowest, int(sample.count)))
        return _interpolated(values, float(percentile[1]) / 100) if values else None
    if not count:
        return None
    match name:
        case "SampleCount":
            return count
        case "Sum":
            return sum(sample.total for sample in samples)
        case "Average":
            return sum(sample.total for sample in samples) / count
        case "Minimum":
            return min(sample.lowest for sample in samples)
        case "Maximum":
            return max(sample.highest for sample in samples)
    raise ValueError(
        f"Local AWS computes no statistic {name!r}; use SampleCount, Sum, Average, Minimum, Maximum or p99."
    )


def _interpolated(values: Sequence[float], part: float) -> float:
    """Return the value at a part of the sorted values, between two of them if need be."""
    place = part * (len(values) - 1)
    below = min(int(place), len(values) - 1)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)
