"""Statistics of samples."""

import pytest

from include.local_aws.cloudwatch.statistics import Sample, statistic

ONE_TO_HUNDRED = [Sample(0.0, 1.0, float(n), float(n), float(n)) for n in range(1, 101)]
A_SET = Sample(0.0, 10.0, 1000.0, 5.0, 500.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SampleCount", 110), ("Sum", 6050), ("Average", 55), ("Minimum", 1), ("Maximum", 500)],
)
def test_basic_statistics_take_in_sets_of_values(name: str, value: float) -> None:
    assert statistic(name, [*ONE_TO_HUNDRED, A_SET]) == value


def test_a_percentile_is_interpolated_between_known_values() -> None:
    assert statistic("p99", [*ONE_TO_HUNDRED, A_SET]) == pytest.approx(99.01)
    assert statistic("p99.9", ONE_TO_HUNDRED) == pytest.approx(99.901)


@pytest.mark.parametrize("name", ["Sum", "SampleCount", "p99"])
def test_without_a_sample_there_is_no_statistic(name: str) -> None:
    assert statistic(name, []) is None


def test_another_statistic_is_refused() -> None:
    with pytest.raises(ValueError, match="no statistic 'tm99'"):
        statistic("tm99", ONE_TO_HUNDRED)
