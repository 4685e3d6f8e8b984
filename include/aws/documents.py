"""Types of the documents that AWS defines: the requests and answers of boto3, whose members AWS documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

AwsRequest = dict[str, Any]
"""The arguments of an operation, or a part of them."""
AwsAnswer = dict[str, Any]
"""What an operation returned, or a part of it."""
RequestArgument = AwsRequest | Callable[..., AwsRequest]
"""A request, or a callable that returns it when the task runs. Airflow renders both."""
