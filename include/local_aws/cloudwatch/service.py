"""Evaluates the alarms that moto keeps, and changes their states."""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError
from werkzeug.wrappers import Request, Response

from include.local_aws.cloudwatch import metric_math, moto_metrics
from include.local_aws.cloudwatch.alarm_states import INSUFFICIENT_DATA, evaluate
from include.local_aws.cloudwatch.moto_metrics import Metric, WatchedAlarm
from include.local_aws.cloudwatch.statistics import Sample, statistic
from include.local_aws.config import Config

_CHECK_AWS_SECONDS = 15.0
_SHORTEST_CHECK_SECONDS = 0.1
_SUBJECT_CHARACTERS = 100  # SNS's limit
_log = logging.getLogger(__name__)


class CloudWatch:
    """Alarms of one region.

    The periods of an alarm end when it is checked, and are divided by the time scale of the server: with a scale of
    60, a period of 60 seconds is the last second. Metrics keep their real times.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._samples = moto_metrics.RecentSamples(config.region)
        self._closing = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def respond(self, request: Request) -> Response | None:
        """Leave every request to moto."""
        return None

    def close(self) -> None:
        """Stop checking."""
        self._closing.set()

    def _watch(self) -> None:
        interval = max(_SHORTEST_CHECK_SECONDS, self._config.lasts(_CHECK_AWS_SECONDS))
        while not self._closing.wait(interval):
            try:
                self._check_all()
            except Exception:
                _log.exception("The alarms could not be checked; the next check tries again")

    def _check_all(self) -> None:
        alarms = moto_metrics.alarms(self._config.region)
        if not alarms:
            return
        now = time.time()
        metrics = {query.metric for alarm in alarms for query in alarm.queries if query.metric}
        longest = max(self._seconds(alarm) * alarm.rule.evaluation_range for alarm in alarms)
        samples = self._samples.of(metrics, now - longest)
        for alarm in alarms:
            self._check(alarm, samples, now)

    def _check(self, alarm: WatchedAlarm, samples: Mapping[Metric, Sequence[Sample]], now: float) -> None:
        try:
            values = self._values(alarm, samples, now)
        except ValueError as error:
            values, (state, reason) = [], (INSUFFICIENT_DATA, str(error))
        else:
            state, reason = evaluate(alarm.rule, values, alarm.state)
        if state != alarm.state:
            _log.info("Alarm %s is %s: %s", alarm.name, state, reason)
            data = {"version": "1.0", "recentDatapoints": values, "threshold": alarm.rule.threshold}
            moto_metrics.set_state(self._config.region, alarm.name, state, reason, data)
            self._tell(alarm, state, reason)

    def _tell(self, alarm: WatchedAlarm, state: str, reason: str) -> None:
        """Publish a change of state to the alarm's SNS topics."""
        change = {
            "AlarmName": alarm.name,
            "Region": self._config.region,
            "OldStateValue": alarm.state,
            "NewStateValue": state,
            "NewStateReason": reason,
        }
        for action in alarm.actions.get(state, ()):
            if ":sns:" not in action:
                continue
            subject = f'{state}: "{alarm.name}" in {self._config.region}'
            try:
                self._config.client("sns").publish(
                    TopicArn=action, Subject=subject[:_SUBJECT_CHARACTERS], Message=json.dumps(change)
                )
            except (BotoCoreError, ClientError) as error:
                _log.warning("%s was not notified of the alarm %s: %s", action, alarm.name, error)

    def _values(
        self, alarm: WatchedAlarm, samples: Mapping[Metric, Sequence[Sample]], now: float
    ) -> list[float | None]:
        """Return the value of each period of the evaluation range, the oldest first."""
        seconds = self._seconds(alarm)
        values = []
        for periods_ago in reversed(range(alarm.rule.evaluation_range)):
            end = now - periods_ago * seconds
            known: dict[str, float | None] = {
                query.name: statistic(
                    query.statistic,
                    [one for one in samples.get(query.metric, ()) if end - seconds < one.time <= end],
                )
                for query in alarm.queries
                if query.metric
            }
            for query in alarm.queries:
                if query.expression:
                    known[query.name] = metric_math.evaluate(query.expression, known)
            values.append(known[alarm.compared])
        return values

    def _seconds(self, alarm: WatchedAlarm) -> float:
        """Return the length of an alarm's period on this server."""
        return self._config.lasts(max(query.period_seconds for query in alarm.queries))
