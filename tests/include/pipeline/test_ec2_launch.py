"""The AMI and the security group of an instance, on local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from include.pipeline import ec2_launch, support
from include.pipeline.ec2_launch import LaunchError
from include.pipeline.settings import Ec2, Project


def project(**ec2: Any) -> Project:
    return Project(name=f"l{uuid.uuid4().hex[:8]}", description="x", ec2=Ec2(**ec2))


@pytest.fixture(scope="module")
def ec2(local_aws: Any) -> Any:
    return local_aws.client("ec2")


@pytest.fixture(scope="module")
def ssm(local_aws: Any) -> Any:
    return local_aws.client("ssm")


def rules(ec2: Any, group: str) -> tuple[dict[str, Any], list[Any]]:
    (described,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return described, described["IpPermissions"]


def test_the_newest_pytorch_is_selected_numerically(ec2: Any, ssm: Any) -> None:
    launch = ec2_launch.find(project(), ec2, ssm)
    assert launch.image_parameter == (
        "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-ubuntu-24.04/latest/ami-id"
    )
    (image,) = ec2.describe_images(ImageIds=[launch.image])["Images"]
    assert "PyTorch 2.13" in image["Name"]
    assert launch.root_device == image["RootDeviceName"] == "/dev/sda1"


def test_a_project_may_name_another_ami(ec2: Any, ssm: Any) -> None:
    wanted = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.12-amazon-linux-2023/latest/ami-id"
    launch = ec2_launch.find(project(ami_parameter=wanted), ec2, ssm)
    assert (launch.image_parameter, launch.root_device) == (wanted, "/dev/xvda")


def test_an_ami_that_aws_can_t_patch_is_refused(ec2: Any, ssm: Any) -> None:
    old = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.7-amazon-linux-2023/latest/ami-id"
    with pytest.raises(
        LaunchError, match=r"an AMI with PyTorch 2\.7, .* Name one with PyTorch 2\.10 or later"
    ):
        ec2_launch.find(project(ami_parameter=old), ec2, ssm)


def test_an_ami_that_aws_soon_stops_patching_gives_a_warning(
    ec2: Any, ssm: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends = datetime.now(UTC).date() + timedelta(days=3)
    monkeypatch.setattr(
        support,
        "ami_used",
        lambda version: support.Used(what=f"AMI {version}", until=ends, source="s", instead="i"),
    )
    ec2_launch.find(project(), ec2, ssm)
    assert f"AWS stops patching AMI 2.13 on {ends}, in 3 days" in caplog.text


def test_a_missing_ami_parameter_is_reported(ec2: Any, ssm: Any) -> None:
    with pytest.raises(
        LaunchError, match=r"ec2.ami_parameter is /my/ami, but this Systems Manager parameter does not exist"
    ):
        ec2_launch.find(project(ami_parameter="/my/ami"), ec2, ssm)


class NoPages:
    """Systems Manager in a region without Deep Learning AMIs."""

    def get_paginator(self, operation: str) -> NoPages:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Parameters": []}]


def test_a_region_without_deep_learning_amis_is_reported() -> None:
    with pytest.raises(LaunchError, match="lists no Deep Learning AMI with PyTorch"):
        ec2_launch.newest_image(NoPages())


def test_a_volume_too_small_for_the_ami_is_refused(ec2: Any, ssm: Any) -> None:
    with pytest.raises(
        LaunchError,
        match=r"ec2.volume_gb is 8, but the AMI of .* needs (\d+) GB. Set ec2.volume_gb to \1 or more",
    ):
        ec2_launch.find(project(volume_gb=8), ec2, ssm)


def test_the_security_group_has_no_inbound_rules_and_is_created_once(ec2: Any, ssm: Any) -> None:
    wanted = project()
    first = ec2_launch.find(wanted, ec2, ssm).security_group
    assert ec2_launch.find(wanted, ec2, ssm).security_group == first
    group, permissions = rules(ec2, first)
    assert permissions == []
    assert group["GroupName"] == f"{wanted.aws_name}-training"
    assert {tag["Key"]: tag["Value"] for tag in group["Tags"]} == {
        "project": wanted.name,
        "managed-by": "airflow",
    }


def test_the_security_group_is_in_the_vpc_of_the_configured_subnet(ec2: Any, ssm: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    launch = ec2_launch.find(project(subnet_id=subnet), ec2, ssm)
    assert rules(ec2, launch.security_group)[0]["VpcId"] == vpc


def test_a_missing_subnet_is_reported(ec2: Any, ssm: Any) -> None:
    with pytest.raises(LaunchError, match=r"ec2.subnet_id is subnet-0123, but this subnet does not exist"):
        ec2_launch.find(project(subnet_id="subnet-0123"), ec2, ssm)


@pytest.fixture
def bare_ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A separate moto account, in this process and for one test."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client(
            "ec2", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )


def test_without_a_default_vpc_a_subnet_is_required(bare_ec2: Any) -> None:
    for vpc in bare_ec2.describe_vpcs()["Vpcs"]:
        for subnet in bare_ec2.describe_subnets()["Subnets"]:
            bare_ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        bare_ec2.delete_vpc(VpcId=vpc["VpcId"])
    with pytest.raises(LaunchError, match=r"no default VPC. Name a subnet in ec2.subnet_id"):
        ec2_launch.vpc_of(project(), bare_ec2)


def test_a_security_group_that_was_created_in_the_meantime_is_used(
    bare_ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = project()
    vpc = bare_ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = ec2_launch.security_group(wanted, bare_ec2, vpc)
    find, asked = ec2_launch.find_group, []

    def too_early(*arguments: Any) -> str | None:
        asked.append(arguments)
        return None if len(asked) == 1 else find(*arguments)

    monkeypatch.setattr(ec2_launch, "find_group", too_early)
    assert ec2_launch.security_group(wanted, bare_ec2, vpc) == made
    with pytest.raises(ClientError, match="Duplicate"):
        bare_ec2.create_security_group(GroupName=f"{wanted.aws_name}-training", Description="x", VpcId=vpc)
