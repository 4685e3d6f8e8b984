"""RunInstances: what it takes, shows, repeats and refuses; and the images to launch."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

PATH = "/aws/service/deeplearning/ami/x86_64/"
PYTORCH = re.compile(
    PATH + r"oss-nvidia-driver-gpu-pytorch-(\d+)\.(\d+)-(ubuntu-\d\d\.\d\d|amazon-linux-2023)/latest/ami-id"
)


@pytest.fixture
def parameters(ssm: Any) -> dict[str, str]:
    """The values of the parameters of Deep Learning AMIs, read in small pages."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(
        Path=PATH, Recursive=True, PaginationConfig={"PageSize": 3}
    )
    return {item["Name"]: item["Value"] for page in pages for item in page["Parameters"]}


class TestImages:
    def test_the_newest_is_not_where_the_alphabet_puts_it(self, parameters: dict[str, str]) -> None:
        found = [match for name in parameters if (match := PYTORCH.fullmatch(name))]
        assert len(found) == len(parameters) >= 6
        by_version = max(found, key=lambda match: (int(match[1]), int(match[2])))
        assert by_version[2] != max(found, key=lambda match: match[2])[2]
        assert {match[3] for match in found} == {"ubuntu-22.04", "ubuntu-24.04", "amazon-linux-2023"}

    def test_each_parameter_names_an_image_of_amazon_s(self, ec2: Any, parameters: dict[str, str]) -> None:
        images = ec2.describe_images(ImageIds=list(parameters.values()), Owners=["amazon"])["Images"]
        assert {image["ImageId"] for image in images} == set(parameters.values())
        for image in images:
            root = "/dev/xvda" if "Amazon Linux" in image["Name"] else "/dev/sda1"
            assert (image["Architecture"], image["State"], image["ImageOwnerAlias"]) == (
                "x86_64",
                "available",
                "amazon",
            )
            assert image["RootDeviceName"] == root

    def test_a_parameter_is_read_by_name(self, ssm: Any, parameters: dict[str, str]) -> None:
        names = sorted(parameters)[:2]
        read = ssm.get_parameters(Names=[*names, f"{PATH}none"])
        assert {item["Name"]: item["Value"] for item in read["Parameters"]} == {
            n: parameters[n] for n in names
        }
        assert read["InvalidParameters"] == [f"{PATH}none"]
        assert ssm.get_parameter(Name=names[0])["Parameter"]["Value"] == parameters[names[0]]


def test_what_is_asked_for_is_shown(
    ec2: Any, launch: Callable[..., str], in_state: Any, profile: str
) -> None:
    group = ec2.create_security_group(GroupName="shown", Description="shown")["GroupId"]
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1b"]}])[
        "Subnets"
    ][0]
    tags = [{"Key": "project", "Value": "p"}]
    instance_id = launch(
        profile,
        NetworkInterfaces=[
            {
                "DeviceIndex": 0,
                "SubnetId": subnet["SubnetId"],
                "Groups": [group],
                "AssociatePublicIpAddress": True,
            }
        ],
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/sda1",
                "Ebs": {
                    "VolumeSize": 77,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}},
    )
    shown = in_state(instance_id, "running")
    (volume,) = ec2.describe_volumes(
        VolumeIds=[mapping["Ebs"]["VolumeId"] for mapping in shown["BlockDeviceMappings"]]
    )["Volumes"]
    assert shown["Tags"] == volume["Tags"] == tags
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (77, "gp3", True)
    assert shown["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{profile}")
    assert (shown["SubnetId"], shown["VpcId"]) == (subnet["SubnetId"], subnet["VpcId"])
    assert [each["GroupId"] for each in shown["SecurityGroups"]] == [group]
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    assert shown["InstanceLifecycle"] == "spot"


def test_without_security_groups_it_is_in_the_default_one(launch: Callable[..., str], described: Any) -> None:
    assert [group["GroupName"] for group in described(launch())["SecurityGroups"]] == ["default"]


def test_the_volume_of_the_image_needs_no_size(ec2: Any, launch: Callable[..., str], in_state: Any) -> None:
    root = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "gp3"}}
    (mapping,) = in_state(launch(BlockDeviceMappings=[root]), "running")["BlockDeviceMappings"]

    assert mapping["DeviceName"] == "/dev/sda1"
    assert ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"][0]["Size"] == 8


class TestClientTokens:
    @pytest.fixture
    def request_(self, local_aws: Any, instance_request: Any) -> dict[str, Any]:
        return instance_request(local_aws, ClientToken=uuid.uuid4().hex)

    @pytest.fixture
    def instance_id(self, launch: Callable[..., str], request_: dict[str, Any]) -> str:
        return launch(**request_)

    def test_the_same_request_gives_the_same_instance(
        self, ec2: Any, request_: dict[str, Any], instance_id: str, in_state: Any
    ) -> None:
        in_state(instance_id, "running")
        (again,) = ec2.run_instances(**request_)["Instances"]
        assert again["InstanceId"] == instance_id
        tokens = [each["Instances"][0]["ClientToken"] for each in ec2.describe_instances()["Reservations"]]
        assert tokens.count(request_["ClientToken"]) == 1

    def test_other_parameters_are_an_error(
        self, ec2: Any, request_: dict[str, Any], instance_id: str
    ) -> None:
        with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
            ec2.run_instances(**{**request_, "InstanceType": "m5.xlarge"})

    def test_a_terminated_instance_is_not_given_again(
        self, ec2: Any, request_: dict[str, Any], instance_id: str, in_state: Any
    ) -> None:
        ec2.terminate_instances(InstanceIds=[instance_id])
        in_state(instance_id, "terminated")
        with pytest.raises(ClientError, match="IdempotentInstanceTerminated"):
            ec2.run_instances(**request_)

    def test_a_token_of_a_request_that_failed_is_free(
        self, ec2: Any, request_: dict[str, Any], launch: Callable[..., str]
    ) -> None:
        with pytest.raises(ClientError, match="InvalidParameterValue"):
            ec2.run_instances(**{**request_, "InstanceType": "m5.tiny"})
        assert launch(**request_)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param(
            {"InstanceType": "m5.tiny"}, r"InvalidParameterValue.*Invalid value 'm5.tiny'", id="type"
        ),
        pytest.param({"ImageId": "ami-0123456789abcdef0"}, r"InvalidAMIID\.NotFound", id="image"),
        pytest.param(
            {"IamInstanceProfile": {"Name": "no"}}, r"Invalid IAM Instance Profile name", id="profile"
        ),
        pytest.param({"UserData": "#!/bin/sh\n" + "#" * 16_384}, "limited to 16384 bytes", id="user data"),
        pytest.param({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, r"InvalidGroup\.NotFound", id="group"),
        pytest.param(
            {"Placement": {"AvailabilityZone": "us-east-1e"}}, r"Unsupported.*m5.large.*us-east-1e", id="zone"
        ),
        pytest.param(
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeType": "gp3"}}]},
            r"MissingParameter.*size or snapshotId",
            id="volume without a size",
        ),
        pytest.param(
            {"Placement": {"AvailabilityZone": "us-west-2a"}},
            r"InvalidParameterValue.*Invalid availability zone: \[us-west-2a\]",
            id="zone of another region",
        ),
    ],
)
def test_what_aws_refuses_is_refused(
    ec2: Any, local_aws: Any, instance_request: Any, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        ec2.run_instances(**instance_request(local_aws, **members))


def test_a_type_s_zones_and_gpus_are_known(ec2: Any) -> None:
    offers = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["g5.xlarge"]}]
    )["InstanceTypeOfferings"]
    (described,) = ec2.describe_instance_types(InstanceTypes=["g5.xlarge"])["InstanceTypes"]
    assert "us-east-1a" in {offer["Location"] for offer in offers}
    assert described["GpuInfo"]["Gpus"][0]["Count"] == 1
    with pytest.raises(ClientError, match="InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=["g5.tiny"])
