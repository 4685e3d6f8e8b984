"""Interact with Application Auto Scaling."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook


class ApplicationAutoScalingHook(AwsBaseHook):
    """
    Interact with Application Auto Scaling.

    Provide thin wrapper around :external+boto3:py:class:`boto3.client("application-autoscaling")
    <ApplicationAutoScaling.Client>`.

    Additional arguments (such as ``aws_conn_id``) may be specified and are passed down to the underlying
    AwsBaseHook.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "application-autoscaling"
        super().__init__(*args, **kwargs)
