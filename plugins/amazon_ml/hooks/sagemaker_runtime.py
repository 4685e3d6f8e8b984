"""Interact with the Amazon SageMaker Runtime."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook


class SageMakerRuntimeHook(AwsBaseHook):
    """
    Interact with the Amazon SageMaker Runtime: what endpoints answer.

    Provide thin wrapper around :external+boto3:py:class:`boto3.client("sagemaker-runtime")
    <SageMakerRuntime.Client>`.

    Additional arguments (such as ``aws_conn_id``) may be specified and are passed down to the underlying
    AwsBaseHook.

    .. seealso::
        - :class:`airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "sagemaker-runtime"
        super().__init__(*args, **kwargs)
