"""Quotas as preflight reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws


@pytest.fixture
def quotas(local_aws: LocalAws) -> Any:
    return local_aws.client("service-quotas")


def test_the_quotas_of_instances_are_listed_by_pages(quotas: Any) -> None:
    pages = list(quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker"))
    names = [quota["QuotaName"] for page in pages for quota in page["Quotas"]]
    assert len(pages) > 1
    assert len(set(names)) == len(names)
    for use in ("training job", "spot training job", "training warm pool", "processing job", "endpoint"):
        assert f"ml.m5.xlarge for {use} usage" in names


def test_the_code_that_is_listed_is_the_one_that_is_got(quotas: Any) -> None:
    first = quotas.list_service_quotas(ServiceCode="sagemaker", MaxResults=1)["Quotas"][0]
    assert quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=first["QuotaCode"])["Quota"] == first


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("get_service_quota", {"ServiceCode": "ec2", "QuotaCode": "L-00000000"}),
        ("list_service_quotas", {"ServiceCode": "dynamodb"}),
    ],
)
def test_what_is_not_known_is_refused(quotas: Any, operation: str, request_: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        getattr(quotas, operation)(**request_)


def test_a_variable_sets_values_by_name_and_by_code(start_local_aws: Callable[..., Any]) -> None:
    values = '{"ml.m5.xlarge for endpoint usage": 3, "L-DB2E81BA": 0}'
    with start_local_aws(LOCAL_AWS_QUOTAS=values) as server:
        client = server.client("service-quotas")
        ec2 = client.get_service_quota(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quota"]
        assert (ec2["Value"], ec2["QuotaName"]) == (0, "Running On-Demand G and VT instances")
        pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        found = {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    assert found["ml.m5.xlarge for endpoint usage"] == 3
    assert found["ml.m5.large for endpoint usage"] == 1000
