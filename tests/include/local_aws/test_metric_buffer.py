"""What local AWS measures of its endpoints and functions goes to CloudWatch in batches, without requests to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.local_aws.metric_buffer import MetricBuffer

REGION = "us-east-1"


@pytest.fixture
def buffer(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricBuffer]:
    """A buffer that has no server to send anything to."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        config: Any = SimpleNamespace(region=REGION)
        buffer = MetricBuffer(config, "Shop")
        yield buffer
        buffer.close()


def test_counts_are_summed_up_and_each_duration_is_kept(
    buffer: MetricBuffer, eventually: Callable[..., Any]
) -> None:
    cloudwatch = boto3.client("cloudwatch", region_name=REGION)

    def statistics(name: str) -> tuple[float, float, float]:
        found = cloudwatch.get_metric_statistics(
            Namespace="Shop",
            MetricName=name,
            Dimensions=[{"Name": "Door", "Value": "front"}],
            StartTime="2020-01-01",
            EndTime="2040-01-01",
            Period=86400 * 365,
            Statistics=["SampleCount", "Sum", "Maximum"],
        )["Datapoints"]
        return tuple(sum(point[each] for point in found) for each in ("SampleCount", "Sum", "Maximum"))

    for value in (1.0, 2.0, 4.0):
        buffer.add("Visits", value, "Count", {"Door": "front"})
        buffer.add("Stay", value, "Seconds", {"Door": "front"})
    eventually(lambda: statistics("Stay")[0] == 3, 30)
    assert statistics("Visits") == statistics("Stay")
    assert statistics("Stay")[:2] == (3, 7)
