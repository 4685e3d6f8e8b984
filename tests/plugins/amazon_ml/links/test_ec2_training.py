"""The address of a command's output in the AWS console."""

from __future__ import annotations

from amazon_ml.links.ec2_training import CommandLogsLink


def test_the_streams_of_the_command_are_listed() -> None:
    address = CommandLogsLink().format_link(
        aws_domain="aws.amazon.com",
        region_name="eu-west-1",
        log_group="/image-classifier/training/birds",
        log_stream_prefix="c-1/",
    )
    assert address == (
        "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
        "$252Fimage-classifier$252Ftraining$252Fbirds$3FlogStreamNameFilter$3Dc-1$252F"
    )
