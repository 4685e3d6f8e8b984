"""Whether the account has as many concurrent executions of Lambda as a project reserves or keeps warm."""

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
"""What Lambda leaves unreserved at least: as much in new accounts, up to 100 in others."""
QUOTA_CODE = "L-B99A9384"
"""Lambda's quota "Concurrent executions": https://docs.aws.amazon.com/general/latest/gr/lambda-service.html"""


class ConcurrencyQuotaError(PermanentError):
    """The account has too few concurrent executions; the message says what to change."""


def check(project: Project, lambda_client: Any, progress: Callable[[str], None] = log.info) -> None:
    """See that the account has what the project reserves for its function, or keeps warm of it.

    :param lambda_client: a boto3 client.
    :raises ConcurrencyQuotaError: if Lambda is certain to refuse it.
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
            "again, whose policies allow to read it."
        )
        return
    unreserved = limit["UnreservedConcurrentExecutions"]
    if unreserved - more < MIN_UNRESERVED:
        none = "null" if key == "reserved_concurrency" else "0"
        raise ConcurrencyQuotaError(
            f"function.{key} is {wanted}, but of the {limit['ConcurrentExecutions']} concurrent executions that this "
            f"account has in {lambda_client.meta.region_name}, {unreserved} are unreserved, and Lambda leaves at least "
            f"{MIN_UNRESERVED} so. New accounts begin with 10. Set function.{key} to {none}, or ask AWS for more: "
            f"aws service-quotas request-service-quota-increase --service-code lambda --quota-code {QUOTA_CODE} "
            "--desired-value 1000"
        )


def _held(name: str, lambda_client: Any) -> int:
    """How many executions the function has already: reserved, or else provisioned."""
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
