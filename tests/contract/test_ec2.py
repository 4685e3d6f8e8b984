"""What EC2 answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

# AWS's own parameter for the AMI of a small Linux, and what is nearest to it on local AWS.
IMAGES = (
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-ubuntu-24.04/latest/ami-id",
)
SECONDS = 600.0
"""How long an instance takes at most to end, and its network interface to go."""


@pytest.fixture
def ec2(client: Callable[[str], Any]) -> Any:
    return client("ec2")


@pytest.fixture
def vpc(ec2: Any) -> str:
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    return vpc["VpcId"]


@pytest.fixture
def group(ec2: Any, vpc: str, unique: str) -> Iterator[str]:
    """The id of a security group of the test's own."""
    found = ec2.create_security_group(GroupName=unique, Description="A contract test", VpcId=vpc)["GroupId"]
    yield found
    until(lambda: is_deleted(ec2, found))


@pytest.fixture
def launch(client: Callable[[str], Any], ec2: Any, unique: str) -> Iterator[Callable[..., dict[str, Any]]]:
    """Launch the smallest instance; all are terminated afterwards."""
    image, instances = newest_image(client("ssm")), []

    def run(**members: Any) -> dict[str, Any]:
        request = {
            "ImageId": image,
            "InstanceType": "t3.micro",
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": unique,
        }
        (instance,) = ec2.run_instances(**request | members)["Instances"]
        instances.append(instance["InstanceId"])
        return instance

    yield run
    for instance in set(instances):
        ec2.terminate_instances(InstanceIds=[instance])
    for instance in set(instances):
        until(lambda instance=instance: state(ec2, instance) == "terminated")


def newest_image(ssm: Any) -> str:
    for name in IMAGES:
        try:
            return ssm.get_parameter(Name=name)["Parameter"]["Value"]
        except ssm.exceptions.ParameterNotFound:
            continue
    raise AssertionError("There is no image to launch.")


def until(probe: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not probe():
        assert time.monotonic() < deadline, f"not so within {SECONDS} s"
        time.sleep(0.2)


def state(ec2: Any, instance: str) -> str:
    (found,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    return found["State"]["Name"]


def is_deleted(ec2: Any, group: str) -> bool:
    """Delete a security group, and return whether it is gone."""
    try:
        ec2.delete_security_group(GroupId=group)
    except ClientError as error:
        if error.response["Error"]["Code"] == "DependencyViolation":
            return False
        return error.response["Error"]["Code"] == "InvalidGroup.NotFound"
    return True


@pytest.mark.row("EC1")
@pytest.mark.row("EC2")
@pytest.mark.row("EC4")
@pytest.mark.row("EC6")
def test_an_instance_from_its_launch_to_the_end_of_its_network_interface(
    ec2: Any, launch: Callable[..., dict[str, Any]], group: str, refused: Any
) -> None:
    """One instance for all of this, since each costs money on AWS."""
    first = launch(SecurityGroupIds=[group])
    instance = first["InstanceId"]
    assert launch(SecurityGroupIds=[group])["InstanceId"] == instance
    with refused(
        "IdempotentParameterMismatch",
        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
    ):
        launch(SecurityGroupIds=[group], EbsOptimized=True)
    with refused("InvalidInstanceID.NotFound", "i-00000000000000000"):
        ec2.terminate_instances(InstanceIds=[instance, "i-00000000000000000"])
    assert state(ec2, instance) in ("pending", "running")
    with refused("DependencyViolation", f"resource {group} has a dependent object"):
        ec2.delete_security_group(GroupId=group)
    ec2.terminate_instances(InstanceIds=[instance])
    until(lambda: state(ec2, instance) == "terminated")
    with refused("IdempotentInstanceTerminated", "associated with a terminated instance"):
        launch(SecurityGroupIds=[group])
    until(lambda: is_deleted(ec2, group))


@pytest.mark.row("EC5")
def test_an_unknown_instance_is_not_found_by_id_and_an_empty_list_by_filter(ec2: Any, refused: Any) -> None:
    with refused("InvalidInstanceID.NotFound"):
        ec2.describe_instances(InstanceIds=["i-00000000000000000"])
    filters = [{"Name": "instance-id", "Values": ["i-00000000000000000"]}]
    assert ec2.describe_instances(Filters=filters)["Reservations"] == []


@pytest.mark.row("EC7")
def test_a_security_group_is_not_made_twice(
    ec2: Any, vpc: str, group: str, unique: str, refused: Any
) -> None:
    with refused("InvalidGroup.Duplicate", unique):
        ec2.create_security_group(GroupName=unique, Description="Again", VpcId=vpc)


@pytest.mark.row("EC8")
def test_a_launch_in_an_unknown_security_group_is_refused(
    launch: Callable[..., dict[str, Any]], refused: Any
) -> None:
    with refused("InvalidGroup.NotFound"):
        launch(SecurityGroupIds=["sg-00000000000000000"])


@pytest.mark.row("EC10")
def test_a_launch_that_is_wrong_for_good_is_refused(
    launch: Callable[..., dict[str, Any]], refused: Any
) -> None:
    with refused("InvalidAMIID.NotFound"):
        launch(ImageId="ami-00000000000000000")
    with refused("InvalidParameterValue", "no.such"):
        launch(InstanceType="no.such")


@pytest.mark.row("EC11")
def test_a_launch_with_an_unknown_instance_profile_is_refused(
    launch: Callable[..., dict[str, Any]], unique: str, refused: Any
) -> None:
    with refused(
        "InvalidParameterValue",
        f"Value ({unique}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    ):
        launch(IamInstanceProfile={"Name": unique})


def test_a_launch_that_asks_for_what_is_not_there_is_refused(
    launch: Callable[..., dict[str, Any]], unique: str, refused: Any
) -> None:
    with refused("InvalidKeyPair.NotFound", f"The key pair '{unique}' does not exist"):
        launch(KeyName=unique)
    with refused("InvalidParameterValue", "does not match the architecture 'x86_64' of the specified AMI"):
        launch(InstanceType="m6g.large")
    with refused("InvalidParameterValue"):
        launch(MinCount=2, MaxCount=1)
