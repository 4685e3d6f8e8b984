"""Read what is new in the CloudWatch log of a job."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from amazon_ml.outage import is_passing

# Enough to keep up with a job at the usual poll intervals, and few enough for CloudWatch's quotas.
CALLS_PER_POLL = 5
# A call gives up to 1 MB.
CALLS_AT_THE_END = 200

_Calls = Generator[tuple[str, dict[str, Any]], dict[str, Any], None]


class JobLogReader:
    """
    Pass on the new lines of all log streams of a job, each line once.

    A job has a stream for each instance, a tuning job one for each instance of each trial. They appear only when an
    instance has started, the group with the account's first job.

    :param log: the logger that gets the lines.
    :param log_group: the log group, such as ``/aws/sagemaker/TrainingJobs``.
    :param log_stream_prefix: what the names of the job's log streams begin with.
    """

    def __init__(self, log: Any, *, log_group: str, log_stream_prefix: str) -> None:
        self.log = log
        self.log_group = log_group
        self.log_stream_prefix = log_stream_prefix
        self._tokens: dict[str, str] = {}  # where to read on in each stream
        self._turns: deque[str] = deque()  # the streams; the first is the next to be read
        self._page: str | None = None  # the page of the list of streams that is to be read next
        self._allowed = True

    def read(self, client: Any, *, rest: bool = False) -> None:
        """
        Pass on new lines, with a few calls.

        :param client: a client for CloudWatch Logs.
        :param rest: the job has ended: read all that is left.
        """
        calls = self._calls(rest)
        try:
            operation, arguments = next(calls)
            while True:
                answer = getattr(client, operation)(**arguments)
                operation, arguments = calls.send(answer)
        except StopIteration:
            return
        except (BotoCoreError, ClientError, OSError) as error:
            self._missed(error)

    async def read_async(self, client: Any, *, rest: bool = False) -> None:
        """As :meth:`read`, with an asynchronous client."""
        calls = self._calls(rest)
        try:
            operation, arguments = next(calls)
            while True:
                answer = await getattr(client, operation)(**arguments)
                operation, arguments = calls.send(answer)
        except StopIteration:
            return
        except (BotoCoreError, ClientError, OSError) as error:
            self._missed(error)

    def _calls(self, rest: bool) -> _Calls:
        """Yield the calls to make, take their answers."""
        if not self._allowed:
            return
        budget = CALLS_AT_THE_END if rest else CALLS_PER_POLL
        budget -= yield from self._find_streams(rest)
        for _ in range(len(self._turns)):
            stream = self._turns[0]
            self._turns.rotate(-1)
            while budget > 0:
                budget -= 1
                if not (yield from self._read_page(stream)):
                    break
            else:
                if rest:
                    self.log.info("The rest of the log is in %s.", self.log_group)
                return

    def _find_streams(self, rest: bool) -> Generator[tuple[str, dict[str, Any]], dict[str, Any], int]:
        """Take one page of the list of streams, or all that are left; return the number of calls."""
        calls = 0
        self._page = None if rest else self._page
        while True:
            arguments = {"logGroupName": self.log_group, "logStreamNamePrefix": self.log_stream_prefix}
            if self._page:
                arguments["nextToken"] = self._page
            answer = yield "describe_log_streams", arguments
            calls += 1
            self._page = answer.get("nextToken")
            known = set(self._turns)
            found = [stream["logStreamName"] for stream in answer["logStreams"]]
            self._turns.extendleft(stream for stream in found if stream not in known)
            if not rest or not self._page or calls == CALLS_AT_THE_END:
                return calls

    def _read_page(self, stream: str) -> Generator[tuple[str, dict[str, Any]], dict[str, Any], bool]:
        """Pass on a page of a stream; return whether there may be more."""
        arguments: dict[str, Any] = {"logGroupName": self.log_group, "logStreamName": stream}
        token = self._tokens.get(stream)
        if token:
            arguments["nextToken"] = token
        answer = yield "get_log_events", {**arguments, "startFromHead": True}
        self._tokens[stream] = answer["nextForwardToken"]
        name = stream.removeprefix(self.log_stream_prefix)
        for event in answer["events"]:
            # Systems Manager's agent puts many lines into one event; the toolkits print many empty ones.
            for line in event["message"].splitlines():
                if line.strip():
                    self.log.info("%s: %s", name, line.rstrip())
        # CloudWatch repeats the token at the end of a stream.
        return answer["nextForwardToken"] != token

    def _missed(self, error: Exception) -> None:
        """Go without the lines: a job does not fail because its log can't be read."""
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
            return  # no instance has written anything yet
        if not is_passing(error):
            self._allowed = False
            self.log.warning("The job's log in %s can't be read: %s", self.log_group, error)
