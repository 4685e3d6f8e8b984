"""The contract with moto's CloudWatch: what is read and replaced there is still as it is taken to be."""

import datetime
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.local_aws.cloudwatch import moto_metrics
from include.local_aws.cloudwatch.alarm_states import Rule
from include.local_aws.cloudwatch.moto_metrics import Metric, Query
from include.local_aws.moto_patches import cloudwatch

REGION = "eu-west-1"
METRIC = Metric("Shop", "Sales", frozenset({("City", "Ulm"), ("Till", "1")}))
DIMENSIONS = [{"Name": "Till", "Value": "1"}, {"Name": "City", "Value": "Ulm"}]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, restored_moto: None) -> Iterator[Any]:
    """Return a client of moto in this process, with the methods of CloudWatch replaced for one test."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    cloudwatch.apply()
    with mock_aws():
        yield boto3.client(
            "cloudwatch", aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        )


def put_alarm(client: Any, **members: Any) -> None:
    client.put_metric_alarm(
        AlarmName="few sales",
        EvaluationPeriods=3,
        Threshold=7.5,
        ComparisonOperator="LessThanThreshold",
        **members,
    )


def test_an_alarm_of_a_metric_is_read_with_its_rule(client: Any) -> None:
    put_alarm(
        client,
        Namespace="Shop",
        MetricName="Sales",
        Dimensions=DIMENSIONS,
        Period=60,
        ExtendedStatistic="p99",
        DatapointsToAlarm=2,
        TreatMissingData="breaching",
        AlarmActions=["arn:aws:sns:eu-west-1:123456789012:topic"],
    )
    [alarm] = moto_metrics.alarms(REGION)
    assert alarm.rule == Rule("LessThanThreshold", 7.5, 3, 2, "breaching")
    assert alarm.queries == (Query("metric", 60.0, METRIC, "p99"),)
    assert (alarm.name, alarm.state, alarm.compared) == ("few sales", "INSUFFICIENT_DATA", "metric")
    assert alarm.actions == {
        "ALARM": ["arn:aws:sns:eu-west-1:123456789012:topic"],
        "OK": [],
        "INSUFFICIENT_DATA": [],
    }
    client.disable_alarm_actions(AlarmNames=["few sales"])
    assert moto_metrics.alarms(REGION)[0].actions == {}


def test_an_alarm_of_an_expression_is_read_with_what_it_computes(client: Any) -> None:
    stat = {"Namespace": "Shop", "MetricName": "Sales", "Dimensions": DIMENSIONS}
    put_alarm(
        client,
        Metrics=[
            {"Id": "sold", "MetricStat": {"Metric": stat, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
            {"Id": "share", "Expression": "sold / 100", "ReturnData": True},
        ],
    )
    [alarm] = moto_metrics.alarms(REGION)
    assert alarm.queries == (
        Query("sold", 60.0, METRIC, "Sum"),
        Query("share", 0.0, expression="sold / 100"),
    )
    assert alarm.compared == "share"
    assert (alarm.rule.to_alarm, alarm.rule.missing) == (3, "missing")


def test_an_alarm_that_learns_its_threshold_is_left_to_moto(client: Any) -> None:
    stat = {"Metric": {"Namespace": "Shop", "MetricName": "Sales"}, "Period": 60, "Stat": "Sum"}
    client.put_metric_alarm(
        AlarmName="unusual",
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanUpperThreshold",
        ThresholdMetricId="band",
        Metrics=[
            {"Id": "sales", "MetricStat": stat, "ReturnData": True},
            {"Id": "band", "Expression": "ANOMALY_DETECTION_BAND(sales)", "ReturnData": True},
        ],
    )
    assert moto_metrics.alarms(REGION) == []


def test_a_changed_alarm_keeps_its_state(client: Any) -> None:
    members = {"Namespace": "Shop", "MetricName": "Sales", "Period": 60, "Statistic": "Sum"}
    put_alarm(client, **members)
    moto_metrics.set_state(REGION, "few sales", "ALARM", "too few", {"threshold": 7.5})
    put_alarm(client, **members)
    [alarm] = client.describe_alarms()["MetricAlarms"]
    assert (alarm["StateValue"], alarm["StateReason"]) == ("ALARM", "too few")
    assert alarm["StateReasonData"] == '{"threshold": 7.5}'


def test_the_state_of_an_alarm_that_is_gone_is_not_set(client: Any) -> None:
    moto_metrics.set_state(REGION, "nobody", "ALARM", "", {})
    assert client.describe_alarms()["MetricAlarms"] == []


def test_samples_are_those_of_exactly_these_dimensions_since_a_moment(client: Any) -> None:
    now = time.time()

    def put(dimensions: list[dict[str, str]], seconds_ago: float, **value: Any) -> None:
        moment = datetime.datetime.fromtimestamp(now - seconds_ago, datetime.UTC)
        datum = {"MetricName": "Sales", "Dimensions": dimensions, "Timestamp": moment, **value}
        client.put_metric_data(Namespace="Shop", MetricData=[datum])

    put(DIMENSIONS, 10, Value=3.0)
    put(DIMENSIONS, 5, StatisticValues={"SampleCount": 4, "Sum": 20, "Minimum": 1, "Maximum": 9})
    put(DIMENSIONS, 100, Value=4.0)
    put(DIMENSIONS[:1], 5, Value=5.0)
    found = moto_metrics.RecentSamples(REGION).of({METRIC}, now - 60)
    [single, several] = found[METRIC]
    assert (single.count, single.total) == (1, 3.0)
    assert (several.count, several.total, several.lowest, several.highest) == (4, 20, 1, 9)
    assert now - several.time == pytest.approx(5, abs=1.1)  # moto may cut off the fraction of a second
    assert list(found) == [METRIC]


def test_samples_are_read_once_and_found_as_far_back_as_an_alarm_looks(client: Any) -> None:
    now, samples = time.time(), moto_metrics.RecentSamples(REGION)

    def put(value: float, seconds_ago: float) -> None:
        moment = datetime.datetime.fromtimestamp(now - seconds_ago, datetime.UTC)
        datum = {"MetricName": "Sales", "Dimensions": DIMENSIONS, "Timestamp": moment, "Value": value}
        client.put_metric_data(Namespace="Shop", MetricData=[datum])

    def totals(since: float) -> list[float]:
        return [sample.total for sample in samples.of({METRIC}, since)[METRIC]]

    put(1.0, 90)
    put(2.0, 30)
    assert totals(now - 60) == [2.0]
    assert totals(now - 60) == [2.0]
    put(3.0, 50)  # it comes late
    assert totals(now - 59) == [2.0, 3.0]
    assert totals(now - 40) == [2.0]
    assert totals(now - 120) == [1.0, 2.0, 3.0]


def test_get_metric_data_answers_a_percentile(client: Any) -> None:
    now = datetime.datetime.now(datetime.UTC)
    data = [{"MetricName": "Sales", "Timestamp": now, "Values": [float(n) for n in range(1, 101)]}]
    client.put_metric_data(Namespace="Shop", MetricData=data)
    metric = {"Namespace": "Shop", "MetricName": "Sales"}
    [result] = client.get_metric_data(
        MetricDataQueries=[{"Id": "p", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "p99"}}],
        StartTime=now - datetime.timedelta(minutes=30),
        EndTime=now + datetime.timedelta(minutes=5),
    )["MetricDataResults"]
    assert result["Values"] == [pytest.approx(99.01)]
