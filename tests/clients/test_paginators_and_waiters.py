"""Every paginator and waiter of boto3 works against local AWS, or is refused with an error of the service."""

from __future__ import annotations

import itertools
import re
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, UnknownServiceError

from tests.clients.minimal_requests import minimal_request

SERVICES = (
    "application-autoscaling",
    "cloudformation",
    "cloudwatch",
    "ec2",
    "iam",
    "lambda",
    "logs",
    "resourcegroupstaggingapi",
    "s3",
    "sagemaker",
    "sns",
    "ssm",
    "sts",
)
_PAGES = 3
_CODE = re.compile(r"[A-Za-z][\w.]*|404")
"""404 is what botocore makes of S3's answer to HEAD, which has no body."""


def faults(client: Any, operations: set[str]) -> list[str]:
    """Call operations with the smallest request, and describe the answers that no AWS service gives."""
    found = []
    for operation in sorted(operations):
        request, method = (
            minimal_request(client.meta.service_model.operation_model(operation)),
            xform_name(operation),
        )
        try:
            if client.can_paginate(method):
                list(itertools.islice(client.get_paginator(method).paginate(**request), _PAGES))
            else:
                getattr(client, method)(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            is_server_fault = status >= 500 and code != "NotImplemented"
            if is_server_fault or not _CODE.fullmatch(code) or "<html" in str(error).lower():
                found.append(f"{operation}: {status} {error}")
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_paginator_and_waiter_works_or_is_refused(local_aws: Any, service: str) -> None:
    session = botocore.session.get_session()
    operations = set(session.get_paginator_model(service)._paginator_config) if _has_pages(service) else set()  # noqa: SLF001
    try:
        waiters = session.get_waiter_model(service)
    except UnknownServiceError:
        names = set()
    else:
        names = {waiters.get_waiter(name).operation for name in waiters.waiter_names}
    client = local_aws.client(service)
    assert faults(client, operations | names) == []


@pytest.mark.parametrize(
    "service", [each for each in SERVICES if each not in ("ec2", "resourcegroupstaggingapi")]
)
def test_tags_of_what_does_not_exist_are_refused_or_empty(local_aws: Any, service: str) -> None:
    client = local_aws.client(service)
    operations = {each for each in client.meta.service_model.operation_names if "Tag" in each}
    assert faults(client, operations) == []


def _has_pages(service: str) -> bool:
    try:
        botocore.session.get_session().get_paginator_model(service)
    except UnknownServiceError:
        return False
    return True


def test_pages_of_scalable_targets_end(local_aws: Any) -> None:
    """More targets than a page has, of a service that is moto's."""
    client = local_aws.client("application-autoscaling")
    names = [f"table/paged-{number}" for number in range(5)]
    for name in names:
        client.register_scalable_target(
            ServiceNamespace="dynamodb",
            ResourceId=name,
            ScalableDimension="dynamodb:table:ReadCapacityUnits",
            MinCapacity=1,
            MaxCapacity=2,
        )
    pages = client.get_paginator("describe_scalable_targets").paginate(
        ServiceNamespace="dynamodb", PaginationConfig={"PageSize": 2}
    )
    found = [target["ResourceId"] for page in pages for target in page["ScalableTargets"]]
    assert sorted(found) == names
