"""CloudWatch: the first state of an alarm, percentiles, and the limit of data points."""

import datetime
import math
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.cloudwatch.models import Alarm, CloudWatchBackend, Statistics

from include.local_aws.cloudwatch.alarm_states import INSUFFICIENT_DATA
from include.local_aws.cloudwatch.moto_metrics import sample_of
from include.local_aws.cloudwatch.statistics import statistic
from include.local_aws.moto_patches import original, replace

MAX_DATAPOINTS = 1440

_STATE = ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp", "history")
_put_by_moto = original(CloudWatchBackend, "put_metric_alarm")
_get_statistics_by_moto = original(CloudWatchBackend, "get_metric_statistics")
_statistic_by_moto = original(Statistics, "get_statistics_for_type")


def apply() -> None:
    """Replace the methods."""
    replace(CloudWatchBackend, "put_metric_alarm", _put_metric_alarm)
    replace(CloudWatchBackend, "get_metric_statistics", _get_statistics)
    replace(Statistics, "get_statistics_for_type", _statistic)


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
    """Refuse more data points than AWS returns in one answer."""
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
    """Create an alarm in INSUFFICIENT_DATA, or keep the state of one that is changed; moto sets both to OK."""
    before = backend.alarms.get(name)
    alarm = _put_by_moto(backend, name=name, **members)
    if before is None:
        alarm.state_value = INSUFFICIENT_DATA
    else:
        for member in _STATE:
            setattr(alarm, member, getattr(before, member))
    return alarm


def _statistic(statistics: Statistics, stat: str) -> Any:
    """Return a statistic, also a percentile, for which moto has no value."""
    if stat.startswith("p"):
        return statistic(stat, [sample_of(datum, 0.0) for datum in statistics.metric_data])
    return _statistic_by_moto(statistics, stat)
