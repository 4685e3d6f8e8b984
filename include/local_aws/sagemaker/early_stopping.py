"""Decides whether a tuning job's training job does so badly that it is not worth its time."""

import statistics
from collections.abc import Sequence


def falls_behind(values: Sequence[float], completed: Sequence[Sequence[float]], goal: str) -> bool:
    """Whether a training job's objective is worse than those of earlier jobs at the same epoch.

    The rule is SageMaker's (Developer Guide, "Stop Training Jobs Early"): the last value is compared with the
    median, over the completed jobs, of the average of their values up to the same epoch.

    :param values: what the job has given for the objective so far, one for each epoch
    :param completed: the same of each completed job; one with fewer epochs counts with those it has
    :param goal: ``Minimize`` or ``Maximize``
    """
    started = [earlier for earlier in completed if earlier]
    if not values or not started:
        return False
    median = statistics.median(statistics.fmean(earlier[: len(values)]) for earlier in started)
    return values[-1] > median if goal == "Minimize" else values[-1] < median
