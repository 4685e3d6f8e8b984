"""Find what an EC2 instance is launched with: the newest Deep Learning AMI, a security group without open ports."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import support
from include.pipeline.errors import PermanentError
from include.pipeline.names import tag_list
from include.pipeline.pages.documents import Document
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

# Public parameters of AWS: https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
AMI_PARAMETERS = "/aws/service/deeplearning/ami/x86_64/"
PYTORCH_AMI = re.compile(
    rf"{AMI_PARAMETERS}oss-nvidia-driver-gpu-pytorch-(\d+)\.(\d+)(?:\.\d+)?-([\w.-]+)/latest/ami-id"
)


class LaunchError(PermanentError):
    """Raised if no instance can be launched with the project's settings; the message says what to change."""


class Launch(Document):
    """The result of :func:`find`, and of the task ``prepare_ec2``."""

    image: str
    image_parameter: str
    root_device: str
    security_group: str


def find(project: Project, ec2: Any, ssm: Any) -> Launch:
    """Look up the AMI, and find or create the security group.

    :param ec2: a boto3 client; likewise ``ssm``.
    :raises LaunchError: if AMI, subnet or default VPC do not exist, or the AMI is too old or larger than the volume.
    :raises SupportError: if AWS no longer patches the AMI, and the project file does not allow that.
    """
    parameter, image = newest_image(ssm, project.ec2.ami_parameter)
    _check_support(project, parameter)
    (described,) = ec2.describe_images(ImageIds=[image])["Images"]
    root = described["RootDeviceName"]
    sizes = {
        item["DeviceName"]: item.get("Ebs", {}).get("VolumeSize", 0)
        for item in described["BlockDeviceMappings"]
    }
    if project.ec2.volume_gb < sizes.get(root, 0):
        raise LaunchError(
            f"ec2.volume_gb is {project.ec2.volume_gb}, but the AMI of {parameter} needs {sizes[root]} GB. Set "
            f"ec2.volume_gb to {sizes[root]} or more."
        )
    group = security_group(project, ec2, vpc_of(project, ec2))
    return Launch(image=image, image_parameter=parameter, root_device=root, security_group=group)


def newest_image(ssm: Any, parameter: str | None = None) -> tuple[str, str]:
    """Return the AMI that a parameter names, or the AMI with the newest PyTorch, preferably on Ubuntu.

    :return: the name of the parameter, and the ID of the AMI.
    :raises LaunchError: if the parameter does not exist.
    """
    if parameter:
        try:
            return parameter, ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
        except ssm.exceptions.ParameterNotFound as error:
            raise LaunchError(
                f"ec2.ami_parameter is {parameter}, but this Systems Manager parameter does not exist in this region. "
                "Name another one, or none, for the newest AMI."
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
            f"AWS lists no Deep Learning AMI with PyTorch below {AMI_PARAMETERS} in this region. Name one in "
            "ec2.ami_parameter, or train on SageMaker."
        )
    *_, name, image = max(found)
    return name, image


def _check_support(project: Project, parameter: str) -> None:
    """Refuse an AMI that AWS can't or does not patch; warn before patching ends. Other AMIs are not checked."""
    match = PYTORCH_AMI.fullmatch(parameter)
    if match is None:
        return
    version = (int(match[1]), int(match[2]))
    if version < support.OLDEST_PYTORCH_AMI:
        raise LaunchError(
            f"ec2.ami_parameter names an AMI with PyTorch {match[1]}.{match[2]}, whose vulnerabilities AWS can't "
            f"patch. Name one with PyTorch {'.'.join(map(str, support.OLDEST_PYTORCH_AMI))} or later, or none, for the "
            "newest."
        )
    used = support.ami_used(f"{match[1]}.{match[2]}")
    for sentence in support.check([used], datetime.now(UTC).date(), project.allow_unpatched):
        log.warning("%s", sentence)


def security_group_name(project: Project) -> str:
    return f"{project.aws_name}-training"


def security_group(project: Project, ec2: Any, vpc: str) -> str:
    """Return the ID of the project's security group in a VPC; create it without inbound rules if it does not exist."""
    name = security_group_name(project)
    if found := find_group(name, vpc, ec2):
        return found
    try:
        group: str = ec2.create_security_group(
            GroupName=name,
            Description=f"No inbound traffic to the instances that train {project.name}",
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tag_list(project)}],
        )["GroupId"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidGroup.Duplicate":
            raise
        group = find_group(name, vpc, ec2) or ""  # created in the meantime
    return group


def find_group(name: str, vpc: str, ec2: Any) -> str | None:
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    return groups[0]["GroupId"] if groups else None


def vpc_of(project: Project, ec2: Any) -> str:
    if subnet := project.ec2.subnet_id:
        try:
            (described,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidSubnetID.NotFound":
                raise
            raise LaunchError(
                f"ec2.subnet_id is {subnet}, but this subnet does not exist in this region. Name another one."
            ) from error
        return str(described["VpcId"])
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise LaunchError("This region has no default VPC. Name a subnet in ec2.subnet_id.")
    return str(vpcs[0]["VpcId"])
