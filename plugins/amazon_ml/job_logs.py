"""Read the new lines of a job's log in CloudWatch."""

from __future__ import annotations

from collections import deque
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from amazon_ml.transient_errors import is_transient
from include.aws.documents import AwsRequest

# Enough to keep up with a job at the usual poll intervals, and few enough for the CloudWatch quotas.
CALLS_PER_POLL = 5
# Each call returns up to 1 MB.
CALLS_AT_THE_END = 200


class JobLogReader:
    """
    Log the new lines of all log streams of a job, each line once.

    A job has one stream for each instance. A tuning job has one for each instance of each trial. A stream appears
    when its instance starts, and the log group appears with the first job of the account.

    :param log: The logger that receives the lines.
    :param log_group: The log group, such as ``/aws/sagemaker/TrainingJobs``.
    :param log_stream_prefix: The prefix of the names of the job's log streams.
    """

    def __init__(self, log: Any, *, log_group: str, log_stream_prefix: str) -> None:
        self.log = log
        self.log_group = log_group
        self.log_stream_prefix = log_stream_prefix
        self._tokens: dict[str, str] = {}  # the token of the next page of each stream
        self._turns: deque[str] = deque()  # the streams; the first one is read next
        self._page: str | None = None  # the token of the next page of the list of streams
        self._allowed = True

    async def read(self, client: Any, *, rest: bool = False) -> None:
        """
        Log new lines, with a limited number of calls.

        :param client: An asynchronous client for CloudWatch Logs.
        :param rest: Read all remaining lines, because the job has ended.
        """
        if not self._allowed:
            return
        try:
            await self._read(client, rest)
        except (BotoCoreError, ClientError, OSError) as error:
            self._missed(error)

    async def _read(self, client: Any, rest: bool) -> None:
        budget = CALLS_AT_THE_END if rest else CALLS_PER_POLL
        budget -= await self._find_streams(client, rest)
        for _ in range(len(self._turns)):
            stream = self._turns[0]
            self._turns.rotate(-1)
            while budget > 0:
                budget -= 1
                if not await self._read_page(client, stream):
                    break
            else:
                if rest:
                    self.log.info("The rest of the log is in %s.", self.log_group)
                return

    async def _find_streams(self, client: Any, rest: bool) -> int:
        """Read one page of the list of streams, or all remaining pages; return the number of calls."""
        calls = 0
        self._page = None if rest else self._page
        while True:
            arguments = {"logGroupName": self.log_group, "logStreamNamePrefix": self.log_stream_prefix}
            if self._page:
                arguments["nextToken"] = self._page
            answer = await client.describe_log_streams(**arguments)
            calls += 1
            self._page = answer.get("nextToken")
            known = set(self._turns)
            found = [stream["logStreamName"] for stream in answer["logStreams"]]
            self._turns.extendleft(stream for stream in found if stream not in known)
            if not rest or not self._page or calls == CALLS_AT_THE_END:
                return calls

    async def _read_page(self, client: Any, stream: str) -> bool:
        """Log one page of a stream; return whether the stream may have more pages."""
        arguments: AwsRequest = {"logGroupName": self.log_group, "logStreamName": stream}
        token = self._tokens.get(stream)
        if token:
            arguments["nextToken"] = token
        answer = await client.get_log_events(**arguments, startFromHead=True)
        self._tokens[stream] = answer["nextForwardToken"]
        name = stream.removeprefix(self.log_stream_prefix)
        for event in answer["events"]:
            # The agent of Systems Manager puts many lines into one event. The toolkits print many empty lines.
            for line in event["message"].splitlines():
                if line.strip():
                    self.log.info("%s: %s", name, line.rstrip())
        # CloudWatch repeats the token at the end of a stream.
        return bool(answer["nextForwardToken"] != token)

    def _missed(self, error: Exception) -> None:
        """Continue without the lines, since a job must not fail because its log can't be read."""
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
            return  # no instance has written a line yet
        if not is_transient(error):
            self._allowed = False
            self.log.warning("The job's log in %s can't be read: %s", self.log_group, error)
