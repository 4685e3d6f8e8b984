"""Log streams in CloudWatch."""

from collections.abc import Callable
from typing import Any

from include.local_aws.config import Config
from include.local_aws.log_streams import LogStream


def test_lines_can_be_read_soon_without_a_flush(local_aws: Any, eventually: Callable[..., Any]) -> None:
    config = Config(state_dir=local_aws.state_dir, port=int(local_aws.url.rpartition(":")[2]))
    stream = LogStream(config, "/log/test", "stream")
    for line in ("one", "", "x" * 300_000):
        stream.write(line)
    logs = local_aws.client("logs")

    def messages() -> list[str]:
        events = logs.get_log_events(logGroupName="/log/test", logStreamName="stream", startFromHead=True)
        return [event["message"] for event in events["events"]]

    eventually(lambda: messages() == ["one", " ", "x" * 60_000])
