"""When a training job is not worth going on with."""

import pytest

from include.local_aws.sagemaker.early_stopping import falls_behind

# Running averages at the second epoch: 0.35, 0.6, and 0.9 of a job that ended after its first.
COMPLETED = [[0.4, 0.3, 0.1], [0.8, 0.4, 0.3], [0.9]]


@pytest.mark.parametrize(
    ("values", "goal", "expected"),
    [
        pytest.param([0.5, 0.61], "Minimize", True, id="higher than the median, to be low"),
        pytest.param([0.9, 0.59], "Minimize", False, id="lower than the median, to be low"),
        pytest.param([0.9, 0.59], "Maximize", True, id="lower than the median, to be high"),
        pytest.param([0.5, 0.61], "Maximize", False, id="higher than the median, to be high"),
        pytest.param([0.5, 0.6], "Minimize", False, id="the median itself"),
        pytest.param([], "Minimize", False, id="no value yet"),
    ],
)
def test_the_last_value_is_compared_with_the_median_of_running_averages(
    values: list[float], goal: str, expected: bool
) -> None:
    assert falls_behind(values, COMPLETED, goal) == expected


def test_nothing_falls_behind_before_a_job_has_completed() -> None:
    assert not falls_behind([9.0], [], "Minimize")
    assert not falls_behind([9.0], [[]], "Minimize")
