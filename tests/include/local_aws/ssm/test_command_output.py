"""What a command prints, on its way to CloudWatch Logs."""

from typing import Any

import pytest

from include.local_aws.config import Config
from include.local_aws.ssm import command_output
from include.local_aws.ssm.command_output import CommandOutput


def test_all_lines_since_the_last_upload_are_one_event(
    local_aws: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_output, "UPLOAD_SECONDS", 3600)
    config = Config(state_dir=tmp_path, port=int(local_aws.url.rpartition(":")[2]))
    output = CommandOutput(100, (config, "/command/output", "stdout"))
    for lines in (["one", "two"], ["three"]):
        for line in lines:
            output.write(line)
        output.flush()
    answer = local_aws.client("logs").get_log_events(
        logGroupName="/command/output", logStreamName="stdout", startFromHead=True
    )
    assert [event["message"] for event in answer["events"]] == ["one\ntwo", "three"]
    assert output.text == "one\ntwo\nthree\n"
