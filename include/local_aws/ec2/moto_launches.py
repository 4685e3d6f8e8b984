"""The reach into moto's RunInstances: refuses what AWS refuses, repeats itself for a client token, fills gaps."""

import base64
import threading
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend, Reservation
from moto.ec2.responses.instances import InstanceResponse
from moto.iam.exceptions import NotFoundException

_MAX_USER_DATA_BYTES = 16 * 1024

_ROOT_VOLUME_GIB = 8
"""That of every image of moto's."""

_run_by_moto = InstanceBackend.run_instances
_check_block_device_by_moto = InstanceResponse._validate_block_device_mapping
_answer_by_moto = InstanceResponse.run_instances


@dataclass(frozen=True)
class _Launch:
    """The first request with a client token, and what it made."""

    parameters: dict[str, Any]
    reservation: Reservation


def launch_as_aws_does() -> None:
    """Replace moto's RunInstances, in all regions."""
    launches: dict[tuple[str, str], _Launch] = {}
    lock = threading.Lock()

    def answer(response: InstanceResponse) -> ActionResult:
        _check_counts(response)
        token = response._get_param("ClientToken")
        parameters = {name: value for name, value in response.params.items() if name != "DryRun"}
        with lock:
            launch = launches.get((response.region, token)) if token else None
            if launch is not None:
                return ActionResult(_repeated(launch, parameters))
            result = _answer(response)
            if token:
                launches[response.region, token] = _Launch(parameters, result.result)  # type: ignore[arg-type]
            return result

    InstanceResponse._validate_block_device_mapping = staticmethod(_check_block_device)  # type: ignore[method-assign, assignment]
    InstanceResponse.run_instances = answer  # type: ignore[method-assign, assignment]
    InstanceBackend.run_instances = _run_instances  # type: ignore[method-assign, assignment]


def _check_counts(response: InstanceResponse) -> None:
    """Check how many instances a request asks for; the text of AWS's refusal is not known."""
    low, high = (int(response._get_param(name, if_none="1")) for name in ("MinCount", "MaxCount"))
    if not 1 <= low <= high:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({low}) for parameter minCount is invalid. It must be at least 1, and not above maxCount ({high}).",
        )


def _check_block_device(mapping: dict[str, Any]) -> None:
    """Check a block device as moto does; one without size and snapshot is the image's own, and as large."""
    ebs = mapping.get("Ebs", {})
    if ebs and "NoDevice" not in mapping and not ebs.keys() & {"VolumeSize", "SnapshotId"}:
        ebs["VolumeSize"] = _ROOT_VOLUME_GIB
    _check_block_device_by_moto(mapping)


def _repeated(launch: _Launch, parameters: dict[str, Any]) -> Reservation:
    if launch.parameters != parameters:
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
    if all(instance.state == "terminated" for instance in launch.reservation.instances):
        raise EC2ClientError(
            "IdempotentInstanceTerminated",
            "The client token you have provided is associated with a terminated instance. Please use a "
            "different client token.",
        )
    return launch.reservation


def _answer(response: InstanceResponse) -> ActionResult:
    try:
        return _answer_by_moto(response)
    except NotFoundException as error:
        profile = response._get_param("IamInstanceProfile", {})
        member, value = next(iter(profile.items()))
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({value}) for parameter iamInstanceProfile.{member.lower()} is invalid. "
            f"Invalid IAM Instance Profile {'ARN' if member == 'Arn' else 'name'}",
        ) from error


def _run_instances(
    backend: Any, image_id: str, count: int, user_data: Any, security_group_names: list[str], **members: Any
) -> Reservation:
    if image_id:
        [image] = backend.describe_images(ami_ids=[image_id])
        if not members.get("is_instance_type_default"):
            _check_architecture(members["instance_type"], image.architecture)
    key_name = members.get("key_name")
    if key_name and key_name not in backend.key_pairs:
        raise EC2ClientError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
    if len(base64.b64decode(str(user_data or ""))) > _MAX_USER_DATA_BYTES:
        raise EC2ClientError("InvalidParameterValue", f"User data is limited to {_MAX_USER_DATA_BYTES} bytes")
    nics = members.get("nics", [])
    if not members.get("is_instance_type_default"):
        subnets = [members.get("subnet_id"), *(nic.get("SubnetId") for nic in nics)]
        zones = {backend.get_subnet(subnet).availability_zone for subnet in subnets if subnet}
        _check_type(backend.region_name, members["instance_type"], zones or {members.get("placement")})
    reservation = _run_by_moto(backend, image_id, count, user_data, security_group_names, **members)
    kept = {
        int(nic["DeviceIndex"])
        for nic in nics
        if "NetworkInterfaceId" in nic or nic.get("DeleteOnTermination") is False
    }
    for instance in reservation.instances:
        _complete_network(instance, kept)
    return reservation


def _check_architecture(instance_type: str, architecture: str) -> None:
    details = INSTANCE_TYPES.get(instance_type, {})
    supported = details.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    if supported and architecture not in supported:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{','.join(supported)}' of the specified instance type does not match the architecture "
            f"'{architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI.",
        )


def _check_type(region: str, instance_type: str, zones: set[str | None]) -> None:
    offered = {
        offer["Location"]
        for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
        if offer["InstanceType"] == instance_type
    }
    if not offered:
        raise EC2ClientError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    for zone in zones - offered - {None}:
        raise EC2ClientError(
            "Unsupported",
            f"Your requested instance type ({instance_type}) is not supported in your requested "
            f"Availability Zone ({zone}). Please retry your request by not specifying an Availability Zone "
            f"or choosing {', '.join(sorted(offered))}.",
        )


def _complete_network(instance: Instance, kept: set[int]) -> None:
    """Give an instance the security groups it has in AWS, and have its interfaces go when it does.

    Without any it has those of its first interface, or else the default group of its VPC.
    """
    if not instance.security_groups:
        primary = instance.nics[0]
        if not primary.group_set:
            default = instance.ec2_backend.get_security_group_from_name("default", instance.vpc_id)
            primary._group_set.append(default)
        instance.security_groups = list(primary.group_set)
    for index, nic in instance.nics.items():
        if index not in kept:
            nic.delete_on_termination = True
