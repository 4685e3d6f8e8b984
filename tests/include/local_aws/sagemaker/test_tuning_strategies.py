"""How the hyperparameters of training jobs are chosen."""

import math
import statistics
from typing import Any

import pytest

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.tuning_strategies import Search, check_supported

WIDE = {"ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.00001", "MaxValue": "1"}]}


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_a_seed_repeats_the_search(strategy: str) -> None:
    assert _learning_rates(strategy, seed=3) == _learning_rates(strategy, seed=3)
    assert _learning_rates(strategy, seed=3) != _learning_rates(strategy, seed=4)


def test_integers_reach_both_ends_of_their_range() -> None:
    ranges = {"IntegerParameterRanges": [{"Name": "batch", "MinValue": "1", "MaxValue": "3"}]}
    assert {value["batch"] for value in _samples(ranges)} == {"1", "2", "3"}


def test_categories_are_given_as_they_are() -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "optimizer", "Values": ['"sgd"', '"adam"']}]}
    assert {value["optimizer"] for value in _samples(ranges)} == {'"sgd"', '"adam"'}


@pytest.mark.parametrize(
    ("scaling", "low", "logarithmic"),
    [
        pytest.param("Logarithmic", "0.01", True, id="logarithmic"),
        pytest.param("Linear", "0.0001", False, id="linear"),
        pytest.param("Auto", "0.0001", True, id="auto, wide range"),
        pytest.param("Auto", "0.01", False, id="auto, narrow range"),
    ],
)
def test_scaling_decides_how_many_values_are_small(scaling: str, low: str, logarithmic: bool) -> None:
    parameter = {"Name": "lr", "MinValue": low, "MaxValue": "1", "ScalingType": scaling}
    values = [float(value["lr"]) for value in _samples({"ContinuousParameterRanges": [parameter]})]
    assert all(float(low) <= value <= 1 for value in values)
    assert (sum(value < 0.1 for value in values) > 60) == logarithmic


def test_bayesian_search_learns_where_the_objective_is_good() -> None:
    """The last third of its jobs lies nearer to the best learning rate than that of Random."""

    def distance(strategy: str) -> float:
        late = [rate for seed in range(5) for rate in _learning_rates(strategy, seed)[-10:]]
        return statistics.fmean(_loss(rate) for rate in late)

    assert distance("Bayesian") < distance("Random") / 2


def test_bayesian_jobs_at_the_same_time_are_spread() -> None:
    search = Search(_config("Bayesian", WIDE, jobs=12))
    for _ in range(6):
        number, tuned = search.ask()
        search.tell(number, _loss(float(tuned["lr"])))
    assert len({search.ask()[1]["lr"] for _ in range(4)}) == 4


def test_a_job_without_an_objective_does_not_end_the_search() -> None:
    search = Search(_config("Bayesian", WIDE, jobs=12))
    for _ in range(8):
        search.tell(search.ask()[0], None)
    assert 0.00001 <= float(search.ask()[1]["lr"]) <= 1


def test_a_grid_gives_each_combination_once() -> None:
    ranges = {
        "CategoricalParameterRanges": [
            {"Name": "size", "Values": ["32", "64"]},
            {"Name": "optimizer", "Values": ["sgd", "adam"]},
        ]
    }
    search = Search(_config("Grid", ranges))
    asked = [tuple(search.ask()[1].values()) for _ in range(search.jobs)]
    assert asked == [("32", "sgd"), ("32", "adam"), ("64", "sgd"), ("64", "adam")]


@pytest.mark.parametrize(
    ("strategy", "ranges", "jobs", "sentence"),
    [
        pytest.param("Hyperband", WIDE, 4, "no strategy Hyperband", id="hyperband"),
        pytest.param("Grid", WIDE, None, "categorical parameters only", id="grid of numbers"),
        pytest.param(
            "Grid",
            {"CategoricalParameterRanges": [{"Name": "size", "Values": ["32", "64"]}]},
            3,
            "the grid has 2 combinations",
            id="grid of another size",
        ),
        pytest.param(
            "Random",
            {"IntegerParameterRanges": [{"Name": "batch", "MinValue": "3", "MaxValue": "1"}]},
            4,
            "must not be empty",
            id="empty range",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(
    strategy: str, ranges: dict[str, Any], jobs: int | None, sentence: str
) -> None:
    with pytest.raises(AwsError, match=sentence):
        check_supported(_config(strategy, ranges, jobs=jobs))


def _config(
    strategy: str, ranges: dict[str, Any], *, seed: int = 5, jobs: int | None = None
) -> dict[str, Any]:
    limits = {"MaxParallelTrainingJobs": 1} | ({"MaxNumberOfTrainingJobs": jobs} if jobs else {})
    return {
        "Strategy": strategy,
        "ParameterRanges": ranges,
        "RandomSeed": seed,
        "ResourceLimits": limits,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    }


def _samples(ranges: dict[str, Any]) -> list[dict[str, str]]:
    search = Search(_config("Random", ranges, jobs=200))
    return [search.ask()[1] for _ in range(200)]


def _learning_rates(strategy: str, seed: int) -> list[float]:
    search = Search(_config(strategy, WIDE, seed=seed, jobs=30))
    rates = []
    for _ in range(30):
        number, tuned = search.ask()
        rates.append(float(tuned["lr"]))
        search.tell(number, _loss(rates[-1]))
    return rates


def _loss(learning_rate: float) -> float:
    return abs(math.log10(learning_rate) + 3)
