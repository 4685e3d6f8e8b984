"""Metrics in the lines of a log."""

import pytest

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.metrics import MetricReader


def test_the_last_value_counts_also_within_a_line() -> None:
    reader = MetricReader([{"Name": "loss", "Regex": r"loss=(\S+)"}])
    for line in ("loss=3 loss=2", "no metric", "loss=1.5e-1", "loss=nan", "loss=unknown"):
        reader.read(line)
    assert [(metric["MetricName"], metric["Value"]) for metric in reader.final()] == [("loss", 0.15)]


def test_all_values_of_a_metric_are_kept_in_their_order() -> None:
    reader = MetricReader([{"Name": "loss", "Regex": r"loss=(\S+)"}])
    for line in ("loss=3", "loss=nan", "loss=2 loss=2.5"):
        reader.read(line)
    assert reader.values("loss") == [3, 2, 2.5]
    assert reader.values("accuracy") == []


@pytest.mark.parametrize(("regex", "complaint"), [("loss=(", "is invalid"), ("loss=.*", "has no group")])
def test_a_regular_expression_must_find_a_value(regex: str, complaint: str) -> None:
    with pytest.raises(AwsError, match=complaint):
        MetricReader([{"Name": "loss", "Regex": regex}])
