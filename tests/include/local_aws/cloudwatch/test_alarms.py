"""Alarms of the running server, which change state by themselves; a minute of theirs lasts a second."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def cloudwatch(local_aws: Any) -> Any:
    return local_aws.client("cloudwatch")


@pytest.fixture
def alarm(cloudwatch: Any) -> Iterator[Callable[..., str]]:
    """Makes alarms above 5 of the namespace Shop; they are deleted after the test."""
    names = []

    def put(**members: Any) -> str:
        names.append(f"alarm-{uuid.uuid4().hex[:8]}")
        cloudwatch.put_metric_alarm(
            AlarmName=names[-1],
            Threshold=5.0,
            ComparisonOperator="GreaterThanThreshold",
            **{"EvaluationPeriods": 1, **members},
        )
        return names[-1]

    yield put
    cloudwatch.delete_alarms(AlarmNames=names)


@pytest.fixture
def described(cloudwatch: Any) -> Callable[[str], dict[str, Any]]:
    return lambda name: cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]


@pytest.fixture
def put(cloudwatch: Any) -> Callable[..., None]:
    """Put values of metrics of the namespace Shop."""

    def values(**metrics: float) -> None:
        data = [{"MetricName": name, "Value": value} for name, value in metrics.items()]
        cloudwatch.put_metric_data(Namespace="Shop", MetricData=data)

    return values


def test_an_alarm_is_raised_by_its_metric_and_over_when_the_metric_is_silent(
    alarm: Callable[..., str],
    described: Callable[[str], dict[str, Any]],
    put: Callable[..., None],
    eventually: Callable[..., Any],
) -> None:
    name = alarm(
        Namespace="Shop", MetricName="Queue", Statistic="Maximum", Period=60, TreatMissingData="notBreaching"
    )
    eventually(lambda: described(name)["StateValue"] == "OK")

    def raised() -> dict[str, Any] | None:
        put(Queue=9.0)  # again in each period
        alarm = described(name)
        return alarm if alarm["StateValue"] == "ALARM" else None

    assert "[9] are greater than the threshold (5)" in eventually(raised)["StateReason"]
    eventually(lambda: described(name)["StateValue"] == "OK")


def test_an_alarm_without_data_has_insufficient_data(
    alarm: Callable[..., str], described: Callable[[str], dict[str, Any]]
) -> None:
    name = alarm(Namespace="Shop", MetricName="Nothing", Statistic="Sum", Period=60)
    assert described(name)["StateValue"] == "INSUFFICIENT_DATA"


def test_an_alarm_can_watch_a_share(
    alarm: Callable[..., str],
    described: Callable[[str], dict[str, Any]],
    put: Callable[..., None],
    eventually: Callable[..., Any],
) -> None:
    def query(name: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "Shop", "MetricName": metric}, "Period": 300, "Stat": "Sum"}
        return {"Id": name, "MetricStat": stat, "ReturnData": False}

    name = alarm(
        Metrics=[
            query("returns", "Returns"),
            query("sales", "Sales"),
            {"Id": "share", "Expression": "100 * returns / sales", "ReturnData": True},
        ]
    )

    def is_so_after(state: str, **metrics: float) -> bool:
        put(**metrics)  # again in each period
        return described(name)["StateValue"] == state

    eventually(lambda: is_so_after("OK", Returns=5.0, Sales=100.0))
    eventually(lambda: is_so_after("ALARM", Returns=6.0, Sales=100.0))


def test_an_expression_that_is_not_understood_is_the_reason_for_having_no_data(
    alarm: Callable[..., str],
    cloudwatch: Any,
    described: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
) -> None:
    stat = {"Metric": {"Namespace": "Shop", "MetricName": "Sales"}, "Period": 60, "Stat": "Sum"}
    name = alarm(
        Metrics=[
            {"Id": "sales", "MetricStat": stat, "ReturnData": False},
            {"Id": "smooth", "Expression": "RUNNING_SUM(sales)", "ReturnData": True},
        ]
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by hand")
    eventually(lambda: described(name)["StateValue"] == "INSUFFICIENT_DATA")
    assert "'RUNNING_SUM(sales)' is not understood" in described(name)["StateReason"]


def test_a_topic_is_told_of_an_alarm(
    local_aws: Any,
    alarm: Callable[..., str],
    described: Callable[[str], dict[str, Any]],
    put: Callable[..., None],
    eventually: Callable[..., Any],
) -> None:
    sns, sqs = local_aws.client("sns"), local_aws.client("sqs")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
    members = {"Namespace": "Shop", "MetricName": "Complaints", "Statistic": "Maximum", "Period": 60}
    name = alarm(**members, AlarmActions=[topic])
    silent = alarm(**members, AlarmActions=[topic], ActionsEnabled=False)

    def are_raised() -> bool:
        put(Complaints=9.0)  # again in each period
        return {described(each)["StateValue"] for each in (name, silent)} == {"ALARM"}

    eventually(are_raised)
    told: list[dict[str, Any]] = []

    def are_told() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", ()):
            told.append(json.loads(json.loads(message["Body"])["Message"]))
        return bool(told)

    eventually(are_told)
    assert {(each["AlarmName"], each["NewStateValue"]) for each in told} == {(name, "ALARM")}
    assert "[9] are greater than" in told[0]["NewStateReason"]
