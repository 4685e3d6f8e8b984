"""Check that the account has the concurrent executions of Lambda that a project reserves or provisions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.errors import PermanentError
from include.pipeline.names import function_name
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

MIN_UNRESERVED = 10
"""The minimum that Lambda keeps unreserved: 10 in new accounts, up to 100 in others."""
QUOTA_CODE = "L-B99A9384"
"""Lambda's quota "Concurrent executions": https://docs.aws.amazon.com/general/latest/gr/lambda-service.html"""


class ConcurrencyQuotaError(PermanentError):
    """Raised if the account has too few concurrent executions; the message says what to change."""


def check(project: Project, lambda_client: Any, progress: Callable[[str], None] = log.info) -> None:
    """Check that the account has the executions that the project reserves or provisions for its function.

    :param lambda_client: a boto3 client.
    :raises ConcurrencyQuotaError: if Lambda is certain to refuse them.
    """
    function = project.function
    key, wanted = (
        ("provisioned_concurrency", function.provisioned_concurrency)
        if function.reserved_concurrency is None
        else ("reserved_concurrency", function.reserved_concurrency)
    )
    if not wanted:
        return
    more = wanted - _held(function_name(project), lambda_client)
    if more <= 0:
        return
    try:
        limit = lambda_client.get_account_settings()["AccountLimit"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        progress(
            f"The quota of concurrent executions is not checked: {error}. Deploy include/infrastructure/stack.yaml "
            "again: its policies allow reading the quota."
        )
        return
    unreserved = limit["UnreservedConcurrentExecutions"]
    if unreserved - more < MIN_UNRESERVED:
        none = "null" if key == "reserved_concurrency" else "0"
        raise ConcurrencyQuotaError(
            f"function.{key} is {wanted}, but {unreserved} of the {limit['ConcurrentExecutions']} concurrent "
            f"executions of this account in {lambda_client.meta.region_name} are unreserved, and Lambda keeps at least "
            f"{MIN_UNRESERVED} unreserved. New accounts start with 10. Set function.{key} to {none}, or request an "
            f"increase: aws service-quotas request-service-quota-increase --service-code lambda --quota-code "
            f"{QUOTA_CODE} --desired-value 1000"
        )


def _held(name: str, lambda_client: Any) -> int:
    """Return how many executions the function already has: reserved, or else provisioned."""
    try:
        reserved = lambda_client.get_function_concurrency(FunctionName=name).get(
            "ReservedConcurrentExecutions"
        )
    except lambda_client.exceptions.ResourceNotFoundException:
        return 0
    if reserved is not None:
        return int(reserved)
    pages = lambda_client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=name)
    return sum(
        item["RequestedProvisionedConcurrentExecutions"]
        for page in pages
        for item in page["ProvisionedConcurrencyConfigs"]
    )
