"""The shares of an endpoint's fleets; these have no processes, so all that counts is the shares."""

from collections import Counter
from pathlib import Path

import pytest

from include.local_aws.config import Config
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker.fleet import Fleet
from include.local_aws.sagemaker.traffic import Traffic

DRAWS = 2_000


@pytest.fixture
def fleets(tmp_path: Path) -> list[Fleet]:
    children = ChildProcesses()
    return [
        Fleet(Config(state_dir=tmp_path), children, "endpoint", name) for name in ("old", "new", "newest")
    ]


def shares(traffic: Traffic) -> dict[str, float]:
    """What each fleet gets of many requests, rounded to a tenth; of the smallest shares nothing is left."""
    drawn = Counter(traffic.choose(None).endpoint_config for _ in range(DRAWS))
    return {name: round(count / DRAWS, 1) for name, count in drawn.items()}


def test_a_new_fleet_gets_its_share_and_the_old_one_the_rest(fleets: list[Fleet]) -> None:
    old, new, _ = fleets
    traffic = Traffic(old)
    assert shares(traffic) == {"old": 1.0}
    traffic.shift(new, 0.2)
    assert shares(traffic) == {"old": 0.8, "new": 0.2}
    traffic.shift(new, 1.0)
    assert shares(traffic) == {"new": 1.0}


def test_a_fleet_that_is_withdrawn_leaves_the_others_as_they_were(fleets: list[Fleet]) -> None:
    old, new, newest = fleets
    traffic = Traffic(old)
    traffic.shift(new, 0.5)
    traffic.shift(newest, 0.5)
    assert shares(traffic) == pytest.approx({"old": 0.25, "new": 0.25, "newest": 0.5}, abs=0.06)
    traffic.withdraw(newest)
    assert shares(traffic) == {"old": 0.5, "new": 0.5}
    assert traffic.fleets == [old, new]


def test_a_fleet_with_all_traffic_can_be_withdrawn(fleets: list[Fleet]) -> None:
    old, new, _ = fleets
    traffic = Traffic(old)
    traffic.shift(new, 1.0)
    traffic.withdraw(new)
    assert shares(traffic) == {"old": 1.0}


def test_settling_names_the_fleets_that_may_end(fleets: list[Fleet]) -> None:
    old, new, _ = fleets
    traffic = Traffic(old)
    traffic.shift(new, 0.1)
    assert traffic.settle(new) == [old]
    assert traffic.fleets == [new]
