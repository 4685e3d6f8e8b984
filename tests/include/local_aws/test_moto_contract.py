"""The replacements of moto's methods take what moto's own take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from include.local_aws import logs, sns
from include.local_aws.awslambda import moto_aliases
from include.local_aws.cloudwatch import moto_metrics
from include.local_aws.ec2 import moto_security_groups


@pytest.mark.parametrize(
    ("by_moto", "members"),
    [
        (sns._publish_by_moto, ["self", "message", "arn"]),
        (logs._get_by_moto, ["self", "log_stream_name"]),
        (logs._delete_by_moto, ["self", "log_stream_name"]),
        (
            moto_metrics._get_statistics_by_moto,
            ["self", "namespace", "metric_name", "start_time", "end_time", "period"],
        ),
        (moto_security_groups._delete_by_moto, ["self", "name", "group_id"]),
        (
            moto_aliases.LambdaAlias.update,
            ["self", "description", "function_version", "routing_config"],
        ),
    ],
)
def test_moto_calls_the_replacements_as_it_called_its_own(
    by_moto: Callable[..., Any], members: list[str]
) -> None:
    assert list(inspect.signature(by_moto).parameters)[: len(members)] == members
