"""Writes lines to a log stream of CloudWatch Logs in moto."""

import logging
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

from include.local_aws.config import Config
from include.local_aws.principals import writer_of

_FLUSH_SECONDS = 0.5
_EVENTS_PER_CALL = 1_000
_EVENT_CHARACTERS = 60_000  # at most four bytes each, below CloudWatch's 256 KiB an event

_log = logging.getLogger(__name__)


class LogStream:
    """One stream, made at once with its group; lines are sent in batches, within half a second."""

    def __init__(self, config: Config, group: str, stream: str) -> None:
        self.group = group
        self.stream = stream
        self._client = config.client("logs", writer_of(group))
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._events: list[dict[str, int | str]] = []
        for create, names in (
            (self._client.create_log_group, {"logGroupName": group}),
            (self._client.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
        ):
            try:
                create(**names)
            except self._client.exceptions.ResourceAlreadyExistsException:
                continue

    def write(self, line: str) -> None:
        """Add a line; it is visible after half a second or :meth:`flush`."""
        event: dict[str, int | str] = {
            "timestamp": int(time.time() * 1000),
            "message": line[:_EVENT_CHARACTERS] or " ",
        }
        with self._lock:
            self._events.append(event)
            first = len(self._events) == 1
        if first:
            timer = threading.Timer(_FLUSH_SECONDS, self.flush)
            timer.daemon = True
            timer.start()

    def flush(self) -> None:
        """Send what was written so far; lines that cannot be sent are dropped with a warning."""
        with self._sending:
            with self._lock:
                events, self._events = self._events, []
            try:
                for start in range(0, len(events), _EVENTS_PER_CALL):
                    self._client.put_log_events(
                        logGroupName=self.group,
                        logStreamName=self.stream,
                        logEvents=events[start : start + _EVENTS_PER_CALL],
                    )
            except (BotoCoreError, ClientError) as error:
                _log.warning(
                    "%d lines for %s in %s were lost: %s", len(events), self.stream, self.group, error
                )
