"""The alarms and metrics that moto keeps: read them, put metrics, and set the states of alarms."""

import datetime
import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.cloudwatch.models import (
    Alarm,
    CloudWatchBackend,
    MetricAggregatedDatum,
    MetricDatum,
    MetricDatumBase,
    cloudwatch_backends,
)

from include.local_aws.cloudwatch.alarm_states import ALARM, COMPARISONS, INSUFFICIENT_DATA, OK, Rule
from include.local_aws.cloudwatch.statistics import Sample
from include.local_aws.config import ACCOUNT_ID


@dataclass(frozen=True)
class Metric:
    """A metric with its dimensions."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Query:
    """What an alarm reads: the statistic of a metric, or an expression of other queries."""

    name: str
    period_seconds: float
    metric: Metric | None = None
    statistic: str = ""
    expression: str = ""


@dataclass(frozen=True)
class WatchedAlarm:
    """An alarm: the queries it reads, which of them it compares, and its rule."""

    name: str
    state: str
    rule: Rule
    queries: tuple[Query, ...]
    compared: str
    actions: Mapping[str, Sequence[str]]
    """The ARNs to notify, by the new state. Empty if actions are disabled."""


def alarms(region: str) -> list[WatchedAlarm]:
    """Return the alarms whose threshold is a number, without those that detect anomalies."""
    return [
        _watched(alarm)
        for alarm in list(_backend(region).alarms.values())
        if alarm.comparison_operator in COMPARISONS
    ]


def set_state(region: str, alarm: str, state: str, reason: str, data: dict[str, Any]) -> None:
    """Set the state of an alarm, with its reason, unless it has been deleted."""
    if alarm in _backend(region).alarms:
        _backend(region).set_alarm_state(alarm, reason, json.dumps(data), state)


def put(region: str, namespace: str, data: list[dict[str, Any]]) -> None:
    """Put metrics as PutMetricData does, without a request to this server."""
    _backend(region).put_metric_data(namespace, data)


class RecentSamples:
    """The recent data of the metrics of one region.

    Alarms are evaluated several times a second, and moto keeps all data. So each datum is read once, and forgotten
    when no alarm needs it any more.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._since = math.inf
        self._read = 0
        self._known: list[tuple[Metric, Sample]] = []

    def of(self, metrics: Collection[Metric], since: float) -> dict[Metric, list[Sample]]:
        """Return the data of metrics since a time (epoch seconds)."""
        data = _backend(self._region).metric_data
        if since < self._since or len(data) < self._read:  # an alarm looks further back, or moto was reset
            self._read, self._known = 0, []
        new = data[self._read :]
        self._read, self._since = self._read + len(new), since
        known = [
            *self._known,
            *(
                (Metric(d.namespace, d.name, _pairs(d.dimensions)), sample_of(d, _epoch(d.timestamp)))
                for d in new
            ),
        ]
        self._known = [(metric, sample) for metric, sample in known if sample.time >= since]
        found: dict[Metric, list[Sample]] = defaultdict(list)
        for metric, sample in self._known:
            if metric in metrics:
                found[metric].append(sample)
        return found


def _backend(region: str) -> CloudWatchBackend:
    return cloudwatch_backends[ACCOUNT_ID][region]


def _watched(alarm: Alarm) -> WatchedAlarm:
    periods = int(alarm.evaluation_periods)
    queries, compared = _queries(alarm)
    actions = {
        ALARM: alarm.alarm_actions,
        OK: alarm.ok_actions,
        INSUFFICIENT_DATA: alarm.insufficient_data_actions,
    }
    return WatchedAlarm(
        name=alarm.name,
        state=alarm.state_value,
        rule=Rule(
            comparison=alarm.comparison_operator,
            threshold=float(alarm.threshold),
            periods=periods,
            to_alarm=int(alarm.datapoints_to_alarm or periods),
            missing=alarm.treat_missing_data or "missing",
        ),
        queries=queries,
        compared=compared,
        actions=actions if alarm.actions_enabled else {},
    )


def _queries(alarm: Alarm) -> tuple[tuple[Query, ...], str]:
    """Return the queries, and the name of the one that is compared."""
    if not alarm.metric_data_queries:
        metric = Metric(alarm.namespace, alarm.metric_name, _pairs(alarm.dimensions))
        named = alarm.statistic or alarm.extended_statistic or ""
        return (Query("metric", float(alarm.period), metric, named),), "metric"
    queries = []
    for item in alarm.metric_data_queries:
        stat = item.metric_stat
        if stat is None:
            queries.append(Query(item.id, float(item.period or 0), expression=item.expression or ""))
        else:
            metric = Metric(stat.metric.namespace, stat.metric.metric_name, _pairs(stat.metric.dimensions))
            queries.append(Query(item.id, float(stat.period), metric, stat.stat))
    returned = [item.id for item in alarm.metric_data_queries if item.return_data not in (False, "false")]
    # Without ReturnData, all are returned, and the alarm is about the last one, the expression.
    return tuple(queries), (returned or [queries[0].name])[-1]


def _pairs(dimensions: list[Any]) -> frozenset[tuple[str, str]]:
    return frozenset((dimension.name, dimension.value) for dimension in dimensions)


def sample_of(datum: MetricDatumBase, time: float) -> Sample:
    """Return a datum of moto as a sample at a time (epoch seconds)."""
    if isinstance(datum, MetricAggregatedDatum):
        return Sample(time, datum.sample_count, datum.sum, datum.min, datum.max)
    assert isinstance(datum, MetricDatum)
    return Sample(time, 1.0, datum.value, datum.value, datum.value)


def _epoch(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
