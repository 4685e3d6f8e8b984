"""Instances of EC2 in moto, whose states are those of machines."""

import base64
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.ec2.models import amis, ec2_backends, elastic_network_interfaces
from moto.ssm.models import ssm_backends

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.ec2 import deep_learning_images
from include.local_aws.moto_patches import instances, launches

REGION = "eu-west-1"


class Power:
    """Notes what it is to boot; powers off when the test says so."""

    def __init__(self) -> None:
        self.booted: list[tuple[str, bytes]] = []
        self.ending: list[tuple[Callable[[], None], bool]] = []

    def boot(self, instance_id: str, user_data: bytes) -> None:
        self.booted.append((instance_id, user_data))

    def power_off(self, instance_id: str, ended: Callable[[], None], *, remove: bool) -> None:
        self.ending.append((ended, remove))

    def console_output(self, instance_id: str) -> bytes:
        return b"\x00\xff printed"


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch, restored_moto: None) -> Iterator[Power]:
    """Replace methods of moto in this process for one test."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # Without the thousand images that moto would create again for each test.
    monkeypatch.setattr(amis, "AMIS", [])
    monkeypatch.setattr(amis, "load_resource", lambda path: [])
    power = Power()
    with mock_aws():
        deep_learning_images.publish(REGION)
        launches.apply()
        instances.apply(REGION, power)
        yield power


@functools.cache
def client(service: str, region: str = REGION) -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)
    return session.client(service)


@pytest.fixture
def ec2(power: Power) -> Any:
    return client("ec2")


def launch(ec2: Any, **members: Any) -> str:
    image = deep_learning_images.IMAGES[0].image_id
    request = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1} | members
    (instance,) = ec2.run_instances(**request)["Instances"]
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    return instance["InstanceId"]


def described(ec2: Any, instance_id: str) -> dict[str, Any]:
    return ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


class TestStates:
    def test_a_launched_instance_is_pending_and_booted_with_its_user_data(
        self, ec2: Any, power: Power
    ) -> None:
        instance_id = launch(ec2, UserData="#!/bin/sh\necho é\n")
        assert power.booted == [(instance_id, "#!/bin/sh\necho é\n".encode())]
        assert described(ec2, instance_id)["State"] == {"Code": 0, "Name": "pending"}
        instances.show_running(REGION, instance_id)
        assert described(ec2, instance_id)["State"] == {"Code": 16, "Name": "running"}

    @pytest.mark.parametrize(
        ("operation", "during", "after", "removes"),
        [
            ("stop_instances", "stopping", "stopped", False),
            ("terminate_instances", "shutting-down", "terminated", True),
        ],
    )
    def test_an_instance_has_ended_when_its_machine_has(
        self, ec2: Any, power: Power, operation: str, during: str, after: str, removes: bool
    ) -> None:
        instance_id = launch(ec2)
        instances.show_running(REGION, instance_id)
        answer = getattr(ec2, operation)(InstanceIds=[instance_id])
        (changed,) = answer.get("StoppingInstances") or answer["TerminatingInstances"]
        assert (changed["PreviousState"]["Name"], changed["CurrentState"]["Name"]) == ("running", during)
        assert described(ec2, instance_id)["State"]["Name"] == during
        ((ended, remove),) = power.ending
        ended()
        assert described(ec2, instance_id)["State"]["Name"] == after
        assert remove == removes

    def test_one_that_ends_while_it_is_described_is_described_as_it_was(
        self, ec2: Any, power: Power, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        instance_id = launch(ec2)
        instances.show_running(REGION, instance_id)
        ec2.stop_instances(InstanceIds=[instance_id])
        public, private = (described(ec2, instance_id)[f"{kind}IpAddress"] for kind in ("Public", "Private"))
        ended = threading.Thread(target=power.ending[0][0])
        dns_name = elastic_network_interfaces.generate_dns_from_ip

        def meanwhile(ip: str, *arguments: Any) -> str:
            if not ended.ident:
                ended.start()
                ended.join(0.5)  # it waits for the answer
            return dns_name(ip, *arguments)

        monkeypatch.setattr(elastic_network_interfaces, "generate_dns_from_ip", meanwhile)
        shown = described(ec2, instance_id)
        assert (shown["State"]["Name"], shown["PublicIpAddress"]) == ("stopping", public)
        ended.join()
        shown = described(ec2, instance_id)
        assert (shown["State"]["Name"], shown["PrivateIpAddress"]) == ("stopped", private)
        assert "PublicIpAddress" not in shown

    def test_one_that_is_terminated_while_it_stops_stays_terminated(self, ec2: Any, power: Power) -> None:
        instance_id = launch(ec2)
        instances.show_running(REGION, instance_id)
        ec2.stop_instances(InstanceIds=[instance_id])
        ec2.terminate_instances(InstanceIds=[instance_id])
        for ended, _ in reversed(power.ending):
            ended()
        assert described(ec2, instance_id)["State"]["Name"] == "terminated"

    def test_a_stopped_one_boots_again_without_user_data(self, ec2: Any, power: Power) -> None:
        instance_id = launch(ec2, UserData="#!/bin/sh\n")
        instances.show_running(REGION, instance_id)
        ec2.stop_instances(InstanceIds=[instance_id])
        power.ending[0][0]()
        ec2.start_instances(InstanceIds=[instance_id])
        assert power.booted[1:] == [(instance_id, b"")]
        assert described(ec2, instance_id)["State"]["Name"] == "pending"

    @pytest.mark.parametrize(
        ("members", "during"),
        [
            ({}, "stopping"),
            ({"InstanceInitiatedShutdownBehavior": "terminate"}, "shutting-down"),
            ({"InstanceMarketOptions": {"MarketType": "spot"}}, "shutting-down"),
        ],
    )
    def test_a_shutdown_from_within_is_told_apart(
        self, ec2: Any, power: Power, members: dict[str, Any], during: str
    ) -> None:
        instance_id = launch(ec2, **members)
        instances.show_running(REGION, instance_id)
        instances.shut_down(REGION, instance_id)
        assert described(ec2, instance_id)["State"]["Name"] == during
        power.ending[0][0]()
        assert described(ec2, instance_id)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"

    def test_an_ended_instance_leaves_neither_interface_nor_volume(self, ec2: Any, power: Power) -> None:
        instance_id = launch(ec2)
        ec2.terminate_instances(InstanceIds=[instance_id])
        power.ending[0][0]()
        assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
        assert ec2.describe_volumes()["Volumes"] == []

    def test_other_regions_are_moto_s(self, power: Power) -> None:
        elsewhere = client("ec2", "us-east-1")
        instance_id = launch(elsewhere)
        assert described(elsewhere, instance_id)["State"]["Name"] == "running"
        elsewhere.terminate_instances(InstanceIds=[instance_id])
        assert described(elsewhere, instance_id)["State"]["Name"] == "terminated"
        assert (power.booted, power.ending) == ([], [])


def test_the_console_is_the_machine_s(ec2: Any) -> None:
    client_decodes = ec2.get_console_output(InstanceId=launch(ec2))["Output"]
    assert client_decodes == base64.b64decode(base64.b64encode(b"\x00\xff printed")).decode(errors="replace")


class TestRole:
    @pytest.fixture
    def iam(self, power: Power) -> Any:
        iam = client("iam")
        iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName="profile")
        return iam

    @pytest.mark.parametrize("name", ["Name", "Arn"])
    def test_it_is_the_profile_s(self, ec2: Any, iam: Any, name: str) -> None:
        iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="role")
        arn = iam.get_instance_profile(InstanceProfileName="profile")["InstanceProfile"]["Arn"]
        instance_id = launch(ec2, IamInstanceProfile={name: {"Name": "profile", "Arn": arn}[name]})
        assert instances.role(REGION, instance_id) == "role"

    def test_a_profile_may_have_none(self, ec2: Any, iam: Any) -> None:
        instance_id = launch(ec2, IamInstanceProfile={"Name": "profile"})
        assert instances.role(REGION, instance_id) is None

    def test_an_instance_may_have_no_profile(self, ec2: Any) -> None:
        assert instances.role(REGION, launch(ec2)) is None


def test_addresses_are_those_of_the_first_interface(ec2: Any) -> None:
    instance_id = launch(ec2)
    shown = described(ec2, instance_id)
    assert instances.addresses(REGION, instance_id) == (
        shown["PrivateIpAddress"],
        shown["PrivateDnsName"],
    )


def test_an_interface_that_is_to_stay_stays(ec2: Any, power: Power) -> None:
    instance_id = launch(ec2, NetworkInterfaces=[{"DeviceIndex": 0, "DeleteOnTermination": False}])
    ec2.terminate_instances(InstanceIds=[instance_id])
    power.ending[0][0]()
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_the_interfaces_subnet_decides_the_zone(ec2: Any) -> None:
    zones = [{"Name": "availability-zone", "Values": [f"{REGION}c"]}]
    subnet = ec2.describe_subnets(Filters=zones)["Subnets"][0]["SubnetId"]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone")["InstanceTypeOfferings"]
    there = {offer["InstanceType"] for offer in offered if offer["Location"] == f"{REGION}c"}
    missing = min({offer["InstanceType"] for offer in offered} - there)
    with pytest.raises(ClientError, match=f"Unsupported.*{missing}"):
        launch(ec2, InstanceType=missing, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}])


def test_images_and_parameters_are_where_moto_looks_for_them(power: Power) -> None:
    image = deep_learning_images.IMAGES[0]
    found = ec2_backends[ACCOUNT_ID][REGION].amis[image.image_id]
    assert (found.name, found.owner_alias, found.root_device_name) == (
        image.name,
        "amazon",
        image.root_device,
    )
    assert ssm_backends[ACCOUNT_ID][REGION].get_parameter(image.parameter).value == image.image_id
