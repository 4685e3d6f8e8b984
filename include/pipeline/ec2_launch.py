"""Finds what an EC2 instance is launched with: the newest Deep Learning AMI, a security group without open ports."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel

from include.pipeline.errors import PermanentError
from include.pipeline.names import tag_list
from include.pipeline.settings import Project

# Public parameters of AWS's: https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
AMI_PARAMETERS = "/aws/service/deeplearning/ami/x86_64/"
PYTORCH_AMI = re.compile(
    rf"{AMI_PARAMETERS}oss-nvidia-driver-gpu-pytorch-(\d+)\.(\d+)(?:\.\d+)?-([\w.-]+)/latest/ami-id"
)


class LaunchError(PermanentError):
    """No instance can be launched as the project says; the message says what to change."""


class Launch(BaseModel):
    """What is found out before an instance is launched."""

    image: str
    image_parameter: str
    root_device: str
    security_group: str


def find(project: Project, ec2: Any, ssm: Any) -> Launch:
    """Look up the AMI, and find or make the security group.

    :param ec2: a boto3 client; likewise ``ssm``.
    :raises LaunchError: if AMI, subnet or default VPC do not exist, or the AMI does not fit on the volume.
    """
    parameter, image = newest_image(ssm, project.ec2.ami_parameter)
    (described,) = ec2.describe_images(ImageIds=[image])["Images"]
    root = described["RootDeviceName"]
    sizes = {
        item["DeviceName"]: item.get("Ebs", {}).get("VolumeSize", 0)
        for item in described["BlockDeviceMappings"]
    }
    if project.ec2.volume_gb < sizes.get(root, 0):
        raise LaunchError(
            f"ec2.volume_gb is {project.ec2.volume_gb}, and the AMI of {parameter} needs {sizes[root]}; set it to more."
        )
    group = security_group(project, ec2, _vpc(project, ec2))
    return Launch(image=image, image_parameter=parameter, root_device=root, security_group=group)


def newest_image(ssm: Any, parameter: str | None = None) -> tuple[str, str]:
    """The AMI that a parameter names, or else that of the newest PyTorch, preferably on Ubuntu.

    :return: the parameter, and the AMI's id.
    :raises LaunchError: if there is no such parameter.
    """
    if parameter:
        try:
            return parameter, ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
        except ssm.exceptions.ParameterNotFound as error:
            raise LaunchError(
                f"There is no Systems Manager parameter {parameter}, which ec2.ami_parameter names, in this region."
            ) from error
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=AMI_PARAMETERS, Recursive=True)
    found = [
        ((int(match[1]), int(match[2])), match[3], item["Name"], item["Value"])
        for page in pages
        for item in page["Parameters"]
        if (match := PYTORCH_AMI.fullmatch(item["Name"]))
    ]
    if not found:
        raise LaunchError(
            f"AWS names no Deep Learning AMI with PyTorch below {AMI_PARAMETERS} in this region; name one in "
            "ec2.ami_parameter, or train on SageMaker."
        )
    *_, name, image = max(found)
    return name, image


def security_group_name(project: Project) -> str:
    return f"{project.aws_name}-training"


def security_group(project: Project, ec2: Any, vpc: str) -> str:
    """The id of the project's security group in a VPC, made where there is none: without any rule for what comes in."""
    name = security_group_name(project)
    if found := _find_group(name, vpc, ec2):
        return found
    try:
        group: str = ec2.create_security_group(
            GroupName=name,
            Description=f"Lets nothing in to the instances that train {project.name}",
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tag_list(project)}],
        )["GroupId"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidGroup.Duplicate":
            raise
        group = _find_group(name, vpc, ec2) or ""  # made in the meantime
    return group


def _find_group(name: str, vpc: str, ec2: Any) -> str | None:
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    return groups[0]["GroupId"] if groups else None


def _vpc(project: Project, ec2: Any) -> str:
    if subnet := project.ec2.subnet_id:
        try:
            (described,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidSubnetID.NotFound":
                raise
            raise LaunchError(
                f"There is no subnet {subnet}, which ec2.subnet_id names, in this region."
            ) from error
        return str(described["VpcId"])
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise LaunchError("This region has no default VPC: name a subnet in ec2.subnet_id.")
    return str(vpcs[0]["VpcId"])
