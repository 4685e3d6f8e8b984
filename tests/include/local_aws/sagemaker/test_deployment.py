"""The steps of an update in time, by a clock that only the deployment's own waits set forward."""

from pathlib import Path

import pytest

from include.local_aws.config import Config
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import deployment
from include.local_aws.sagemaker.deployment import Deployment
from include.local_aws.sagemaker.documents import ENDPOINT, Document, Documents
from include.local_aws.sagemaker.fleet import Fleet
from include.local_aws.sagemaker.traffic import Traffic
from include.local_aws.sagemaker.traffic_shifting import Plan


class Clock:
    """Stands for the module time."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class NotedTraffic(Traffic):
    """Notes when a fleet was given which share."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        super().__init__(fleet)
        self._clock = clock
        self.shifts: list[tuple[float, float]] = []

    def shift(self, fleet: Fleet, share: float) -> None:
        super().shift(fleet, share)
        self.shifts.append((round(self._clock.now, 3), share))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deployment, "time", clock)
    return clock


def test_a_canary_takes_its_share_then_all_and_the_old_fleet_stays_for_the_termination_wait(
    clock: Clock, tmp_path: Path
) -> None:
    config = Config(state_dir=tmp_path, time_scale=60)
    documents, children = Documents(config), ChildProcesses()
    endpoint = documents.create(ENDPOINT, {"EndpointName": "endpoint"})
    old, new = (Fleet(config, children, "endpoint", name) for name in ("old", "new"))
    wanted: Document = {"EndpointConfigName": "new", "ProductionVariants": [{"VariantName": "green"}]}
    plan = Plan(shares=(0.25, 1.0), wait_seconds=240, termination_seconds=180, alarms=())
    traffic = NotedTraffic(old, clock)
    Deployment(config, documents, endpoint, wanted, plan).shift(traffic, new)
    children.stop_all()
    assert traffic.shifts == [(0, 0.25), (4, 1.0)]
    assert round(clock.now, 3) == 4 + 4 + 3
    assert traffic.fleets == [old, new]
    [variant] = endpoint["PendingDeploymentSummary"]["ProductionVariants"]
    assert variant["VariantStatus"][0]["Status"] == "Baking"
