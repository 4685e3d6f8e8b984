"""The only reach into moto's CloudWatch: reads its alarms and metrics, and sets the alarms' states."""

import datetime
import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.cloudwatch.models import (
    Alarm,
    CloudWatchBackend,
    MetricAggregatedDatum,
    MetricDatum,
    MetricDatumBase,
    Statistics,
    cloudwatch_backends,
)

from include.local_aws.cloudwatch.alarm_states import ALARM, COMPARISONS, INSUFFICIENT_DATA, OK, Rule
from include.local_aws.cloudwatch.statistics import Sample, statistic
from include.local_aws.config import ACCOUNT_ID

_put_by_moto = CloudWatchBackend.put_metric_alarm
_get_statistics_by_moto = CloudWatchBackend.get_metric_statistics
_statistic_by_moto = Statistics.get_statistics_for_type

MAX_DATAPOINTS = 1440


@dataclass(frozen=True)
class Metric:
    """A metric, which its dimensions belong to."""

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
    """By state, the ARNs of what is told when the alarm comes to it; nothing where actions are disabled."""


def alarms(region: str) -> list[WatchedAlarm]:
    """Return the alarms whose threshold is a number; those that learn it have none."""
    return [
        _watched(alarm)
        for alarm in list(_backend(region).alarms.values())
        if alarm.comparison_operator in COMPARISONS
    ]


def set_state(region: str, alarm: str, state: str, reason: str, data: dict[str, Any]) -> None:
    """Give an alarm a state, with its reason; one that was deleted meanwhile is left."""
    if alarm in _backend(region).alarms:
        _backend(region).set_alarm_state(alarm, reason, json.dumps(data), state)


class RecentSamples:
    """What was put lately for the metrics of one region.

    Alarms look several times a second, and moto keeps all that was ever put: each datum is read once, and let go
    of when no alarm looks back so far any more.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._since = math.inf
        self._read = 0
        self._known: list[tuple[Metric, Sample]] = []

    def of(self, metrics: Collection[Metric], since: float) -> dict[Metric, list[Sample]]:
        """Return what was put for metrics since a moment (epoch seconds)."""
        data = _backend(self._region).metric_data
        if since < self._since or len(data) < self._read:  # an alarm looks further back, or moto was reset
            self._read, self._known = 0, []
        new = data[self._read :]
        self._read, self._since = self._read + len(new), since
        known = [
            *self._known,
            *(
                (Metric(d.namespace, d.name, _pairs(d.dimensions)), _sample(d, _epoch(d.timestamp)))
                for d in new
            ),
        ]
        self._known = [(metric, sample) for metric, sample in known if sample.time >= since]
        found: dict[Metric, list[Sample]] = defaultdict(list)
        for metric, sample in self._known:
            if metric in metrics:
                found[metric].append(sample)
        return found


def begin_alarms_without_data() -> None:
    """Have new alarms begin in INSUFFICIENT_DATA and changed ones keep their state: moto makes both OK."""
    CloudWatchBackend.put_metric_alarm = _put_metric_alarm  # type: ignore[method-assign, assignment]


def answer_percentiles() -> None:
    """Have GetMetricData answer percentiles, for which moto has no value."""
    Statistics.get_statistics_for_type = _statistic  # type: ignore[method-assign, assignment]


def limit_datapoints() -> None:
    """Have GetMetricStatistics refuse more than AWS's 1,440 points in one answer."""
    CloudWatchBackend.get_metric_statistics = _get_statistics  # type: ignore[method-assign, assignment]


def _get_statistics(
    backend: CloudWatchBackend,
    namespace: str,
    metric_name: str,
    start_time: datetime.datetime,
    end_time: datetime.datetime,
    period: int,
    *arguments: Any,
    **members: Any,
) -> list[Statistics]:
    if start_time >= end_time:
        raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
    points = math.ceil((end_time - start_time).total_seconds() / period)
    if points > MAX_DATAPOINTS:
        raise InvalidParameterCombination(
            f"You have requested up to {points:,} datapoints, which exceeds the limit of {MAX_DATAPOINTS:,}. You may "
            "reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    return _get_statistics_by_moto(
        backend, namespace, metric_name, start_time, end_time, period, *arguments, **members
    )


def _put_metric_alarm(backend: CloudWatchBackend, name: str, **members: Any) -> Alarm:
    before = backend.alarms.get(name)
    alarm = _put_by_moto(backend, name=name, **members)
    if before is None:
        alarm.state_value = INSUFFICIENT_DATA
    else:
        for member in (
            "state_value",
            "state_reason",
            "state_reason_data",
            "state_updated_timestamp",
            "history",
        ):
            setattr(alarm, member, getattr(before, member))
    return alarm


def _statistic(statistics: Statistics, stat: str) -> Any:
    if stat.startswith("p"):
        return statistic(stat, [_sample(datum, 0.0) for datum in statistics.metric_data])
    return _statistic_by_moto(statistics, stat)


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
    """The queries, and the name of the one that is compared."""
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
    # Without ReturnData being set, all are returned, and the expression is what an alarm is about.
    return tuple(queries), (returned or [queries[0].name])[-1]


def _pairs(dimensions: list[Any]) -> frozenset[tuple[str, str]]:
    return frozenset((dimension.name, dimension.value) for dimension in dimensions)


def _sample(datum: MetricDatumBase, time: float) -> Sample:
    if isinstance(datum, MetricAggregatedDatum):
        return Sample(time, datum.sample_count, datum.sum, datum.min, datum.max)
    assert isinstance(datum, MetricDatum)
    return Sample(time, 1.0, datum.value, datum.value, datum.value)


def _epoch(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
