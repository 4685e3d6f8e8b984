"""The quotas that a run needs, and the messages if they are too small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from include.pipeline import quotas
from include.pipeline.quotas import QuotaError
from include.pipeline.settings import Project
from tests.conftest import LocalAws


def project(**settings: Any) -> Project:
    return Project(name="birds", description="x", **settings)


def wanted(settings: dict[str, Any], train_on: str = "sagemaker", count: int = 1) -> dict[str, float]:
    return {need.quota: need.least for need in quotas.needs(project(**settings), train_on, count)}


def test_every_job_and_the_endpoint_have_separate_quotas() -> None:
    settings = {
        "tuning": {"instance_type": "ml.g5.xlarge", "max_jobs": 4, "max_parallel_jobs": 3, "spot": True},
        "training": {"instance_type": "ml.m5.4xlarge", "keep_alive_minutes": 5},
        "processing": {"instance_type": "ml.m5.large"},
        "endpoint": {"instance_type": "ml.c5.xlarge", "min_instances": 2, "max_instances": 3},
    }
    assert wanted(settings, count=2) == {
        "ml.m5.large for processing job usage": 1,
        "ml.g5.xlarge for spot training job usage": 3,
        "ml.m5.4xlarge for training job usage": 2,
        "ml.m5.4xlarge for training warm pool usage": 0,
        "ml.c5.xlarge for endpoint usage": 2,
    }


@pytest.mark.parametrize(
    ("instance_type", "spot", "code", "vcpus"),
    [
        ("g4dn.xlarge", False, "L-DB2E81BA", 4),
        ("g6.12xlarge", True, "L-3819A6DF", 48),
        ("p4d.24xlarge", False, "L-417A185B", 96),
        ("p4d.24xlarge", True, "L-7212CCBC", 96),
        ("gr6.4xlarge", False, "L-DB2E81BA", 16),
    ],
)
def test_training_on_ec2_needs_vcpus_and_no_training_job(
    instance_type: str, spot: bool, code: str, vcpus: int
) -> None:
    found = wanted(
        {"ec2": {"instance_type": instance_type, "spot": spot}, "tuning": {"instance_type": "ml.m5.large"}},
        "ec2",
    )
    assert found[code] == vcpus
    assert "ml.m5.xlarge for training job usage" not in found


@pytest.mark.parametrize(("instance_type", "spot"), [("g4dn.metal", False), ("p5.48xlarge", True)])
def test_unknown_ec2_quotas_are_not_checked(instance_type: str, spot: bool) -> None:
    found = wanted({"ec2": {"instance_type": instance_type, "spot": spot}}, "ec2")
    assert not [name for name in found if name.startswith("L-")]


@pytest.fixture
def account(start_local_aws: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that starts local AWS with quotas, by name or code."""
    return lambda values: start_local_aws(LOCAL_AWS_QUOTAS=values)


def test_a_quota_that_is_too_small_is_an_error_with_a_remedy(account: Callable[..., Any]) -> None:
    said: list[str] = []
    with account('{"ml.m5.large for endpoint usage": 0, "L-DB2E81BA": 0}') as local:
        client = local.client("service-quotas")
        quotas.check(project(endpoint={"instance_type": "ml.c5.large"}), "sagemaker", 1, client, said.append)
        assert said == []
        with pytest.raises(QuotaError) as caught:
            quotas.check(project(), "ec2", 1, client, said.append)
    text = str(caught.value)
    assert text.startswith("The quotas of this account in us-east-1 are too small for the run. ")
    assert "endpoint.min_instances needs 1, but the quota 'ml.m5.large for endpoint usage' is 0." in text
    assert "ec2.instance_type needs 4 vCPUs, but the quota 'L-DB2E81BA' of EC2 is 0." in text
    assert "--service-code ec2 --quota-code L-DB2E81BA --desired-value 4." in text
    assert "--service-code sagemaker --quota-code L-" in text


def test_a_tight_quota_is_a_warning(local_aws: LocalAws) -> None:
    said: list[str] = []
    settings = project(endpoint={"min_instances": 600, "max_instances": 1100})
    quotas.check(settings, "sagemaker", 1, local_aws.client("service-quotas"), said.append)
    assert said == [
        "The quota 'ml.m5.large for endpoint usage' in us-east-1 is 1000, which is too small for a release, which "
        "starts new instances next to the live ones."
    ]


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "service-quotas", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def test_a_missing_permission_is_reported_and_ignored(client: Any) -> None:
    said: list[str] = []
    with Stubber(client) as stub:
        stub.add_client_error("list_service_quotas", "AccessDeniedException", http_status_code=400)
        quotas.check(project(), "sagemaker", 1, client, said.append)
    (sentence,) = said
    assert "are not checked" in sentence
    assert "stack.yaml again" in sentence


def test_unlisted_quotas_are_reported(client: Any) -> None:
    said: list[str] = []
    with Stubber(client) as stub:
        stub.add_response("list_service_quotas", {"Quotas": []})
        quotas.check(project(), "sagemaker", 1, client, said.append)
    assert len(said) == 4
    assert "no quota 'ml.m5.xlarge for processing job usage' in eu-central-1" in said[0]
