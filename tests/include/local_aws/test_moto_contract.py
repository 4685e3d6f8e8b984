"""The replacements of moto's methods take what moto's own take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from include.local_aws import cloudformation, logs, sns, tagging
from include.local_aws.awslambda import moto_aliases
from include.local_aws.cloudwatch import moto_metrics
from include.local_aws.ec2 import moto_launches, moto_security_groups


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
        (cloudformation._execute_by_moto, ["self", "change_set_name", "stack_name"]),
        (cloudformation._update_by_moto, ["self", "template", "parameters"]),
        (cloudformation._put_role_policy_by_moto, ["self", "policy_name", "policy_json"]),
        (cloudformation._create_topic_by_moto, ["cls", "resource_name", "cloudformation_json"]),
        (tagging._tag_by_moto, ["self", "resource_arns", "tags"]),
        (moto_launches._check_block_device_by_moto, ["device_mapping"]),
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
