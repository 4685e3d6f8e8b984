"""The link to a command's output in the AWS console."""

from __future__ import annotations

from amazon_ml.links.ec2_training import CommandLogsLink


def test_link_to_the_log_streams_of_a_command() -> None:
    url = CommandLogsLink().format_link(
        aws_domain="aws.amazon.com",
        region_name="eu-west-1",
        log_group="/image-classifier/training/birds",
        log_stream_prefix="c-1/",
    )
    assert url == (
        "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
        "$252Fimage-classifier$252Ftraining$252Fbirds$3FlogStreamNameFilter$3Dc-1$252F"
    )
