"""The resources that the contract tests create in an AWS account, and their maximum cost."""

from __future__ import annotations

from typing import NamedTuple

import pytest


class Cost(NamedTuple):
    """The resources, and their maximum cost in US dollars: 0 for less than a cent."""

    what: str
    usd: float = 0.0


COSTS = {
    "alarm": Cost("CloudWatch alarms"),
    "bucket": Cost("S3 buckets with a few bytes"),
    "failed": Cost("an ml.t3.medium notebook instance", 0.10),
    "function": Cost("Lambda functions, their aliases, URLs and an IAM role"),
    "group": Cost("EC2 security groups"),
    "launch": Cost("t3.micro instances of EC2", 0.05),
    "register": Cost("SageMaker model package groups with versions"),
    "setting": Cost("an S3 bucket and an IAM role for SageMaker"),
    "things": Cost("SageMaker jobs, models and endpoints on ml.m5.large", 2.00),
    "topic": Cost("SNS topics"),
    "unmade": Cost("Lambda functions, their aliases, URLs and an IAM role"),
}
"""By fixture. Each resource is created once or a few times, so a cost is that of all tests of a fixture together. It
assumes the prices of us-east-1, an hour for each endpoint (as long as a failing start may take), and 10 minutes for
each instance."""
PROVISIONED = Cost("provisioned concurrency of Lambda functions with 128 MB", 0.05)


def cost_of(item: pytest.Item) -> Cost:
    """Return the highest cost of a test's fixtures."""
    if item.get_closest_marker("provisions"):
        return PROVISIONED
    own = item.get_closest_marker("makes")
    found = [COSTS[name] for name in item.fixturenames if name in COSTS]  # type: ignore[attr-defined]
    found += [Cost(*own.args)] if own else []
    return max(found, key=lambda cost: cost.usd, default=Cost("nothing"))


def why_never(item: pytest.Item) -> str | None:
    """Return why a test must not run in an AWS account; None if it may."""
    marker = item.get_closest_marker("never_on_aws")
    return marker.args[0] if marker else None


def rows_of(item: pytest.Item) -> list[str]:
    """Return the rows of the oracle that a test verifies."""
    return sorted(marker.args[0] for marker in item.iter_markers("row"))
