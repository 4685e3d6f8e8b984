"""Chooses the hyperparameters of a tuning job's next training job, and learns from those that have ended."""

import itertools

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document

_LOGARITHMIC_SPAN = 1000
"""Auto scaling samples a range logarithmically when its ends differ by at least this factor."""

_STARTUP_SHARE = 0.25
"""Of its jobs, Bayesian search starts this share at random, but at least two: there is nothing to learn from."""

# One line for each trial says nothing that the tuning job's description does not.
optuna.logging.set_verbosity(optuna.logging.WARNING)


class Search:
    """The search of one tuning job: Random, Bayesian (a tree-structured Parzen estimator) or Grid.

    The Parzen estimator counts a training job that still runs as a bad one ("constant liar"), so that jobs that
    run at the same time are not all sent to the same place. With the same seed, and results that come in the
    same order, a search repeats itself.

    :param config: a request's ``HyperParameterTuningJobConfig``, after :func:`check_supported`
    """

    def __init__(self, config: Document) -> None:
        ranges = config.get("ParameterRanges", {})
        self._distributions = _distributions(ranges)
        self.jobs: int = config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 1)
        sampler: BaseSampler = RandomSampler(seed=config.get("RandomSeed"))
        if config["Strategy"] == "Bayesian":
            startup = max(2, round(self.jobs * _STARTUP_SHARE))
            sampler = TPESampler(
                seed=config.get("RandomSeed"),
                n_startup_trials=startup,
                multivariate=True,
                constant_liar=True,
            )
        goal = config["HyperParameterTuningJobObjective"]["Type"]
        self._study = optuna.create_study(direction=goal.lower(), sampler=sampler)
        if config["Strategy"] == "Grid":
            combinations = _combinations(ranges)
            self.jobs = len(combinations)
            for combination in combinations:
                self._study.enqueue_trial(combination)

    def ask(self) -> tuple[int, dict[str, str]]:
        """Return the next training job's number and its hyperparameters, as the text it gets."""
        trial = self._study.ask(self._distributions)
        return trial.number, {
            name: value if isinstance(value, str) else repr(value) for name, value in trial.params.items()
        }

    def tell(self, number: int, objective: float | None) -> None:
        """Take the objective of a training job that has ended; None when it gave none."""
        if objective is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, objective)


def check_supported(config: Document) -> None:
    """Check a request's ``HyperParameterTuningJobConfig``.

    :raises AwsError: when local AWS has no such strategy, or a range cannot be searched
    """
    strategy, ranges = config["Strategy"], config.get("ParameterRanges", {})
    if strategy == "Hyperband":
        raise AwsError(
            "ValidationException", "Local AWS has no strategy Hyperband; use Bayesian, Random or Grid."
        )
    for parameter in _numeric(ranges):
        low, high = float(parameter["MinValue"]), float(parameter["MaxValue"])
        scaling = parameter.get("ScalingType", "Auto")
        if low > high or (scaling == "Logarithmic" and low <= 0) or scaling == "ReverseLogarithmic":
            raise AwsError(
                "ValidationException",
                f"The range of {parameter['Name']}, {low} to {high}, cannot be sampled with scaling "
                f"{scaling}: it must not be empty, must be above 0 for Logarithmic, and local AWS has no "
                "ReverseLogarithmic.",
            )
    if strategy == "Grid":
        _check_grid(config)


def _check_grid(config: Document) -> None:
    ranges = config.get("ParameterRanges", {})
    if _numeric(ranges):
        raise AwsError(
            "ValidationException",
            "Grid search takes categorical parameters only; use CategoricalParameterRanges.",
        )
    jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if jobs not in (None, len(_combinations(ranges))):
        raise AwsError(
            "ValidationException",
            f"MaxNumberOfTrainingJobs is {jobs}, but the grid has {len(_combinations(ranges))} combinations; "
            "give that number or leave it out.",
        )


def _numeric(ranges: Document) -> list[Document]:
    return [*ranges.get("ContinuousParameterRanges", []), *ranges.get("IntegerParameterRanges", [])]


def _combinations(ranges: Document) -> list[dict[str, str]]:
    parameters = ranges.get("CategoricalParameterRanges", [])
    names = [parameter["Name"] for parameter in parameters]
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(parameter["Values"] for parameter in parameters))
    ]


def _distributions(ranges: Document) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    for parameter in ranges.get("ContinuousParameterRanges", []):
        low, high = float(parameter["MinValue"]), float(parameter["MaxValue"])
        found[parameter["Name"]] = FloatDistribution(low, high, log=_is_logarithmic(parameter))
    for parameter in ranges.get("IntegerParameterRanges", []):
        first, last = int(parameter["MinValue"]), int(parameter["MaxValue"])
        found[parameter["Name"]] = IntDistribution(first, last, log=_is_logarithmic(parameter))
    for parameter in ranges.get("CategoricalParameterRanges", []):
        found[parameter["Name"]] = CategoricalDistribution(parameter["Values"])
    return found


def _is_logarithmic(parameter: Document) -> bool:
    low, high = float(parameter["MinValue"]), float(parameter["MaxValue"])
    scaling = parameter.get("ScalingType", "Auto")
    wide = low > 0 and high / low >= _LOGARITHMIC_SPAN
    return scaling == "Logarithmic" or (scaling == "Auto" and wide)
