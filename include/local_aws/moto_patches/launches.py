"""RunInstances of EC2: validate the request, support client tokens, and complete the network interfaces."""

import base64
import threading
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, MissingParameterError
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend, Reservation
from moto.ec2.responses.instances import InstanceResponse
from moto.iam.exceptions import NotFoundException

from include.local_aws.moto_patches import original, replace

_MAX_USER_DATA_BYTES = 16 * 1024

_ROOT_VOLUME_GIB = 8
"""The size of the root volume of each image in moto."""

_run_by_moto = original(InstanceBackend, "run_instances")
_check_block_device_by_moto = original(InstanceResponse, "_validate_block_device_mapping")
_answer_by_moto = original(InstanceResponse, "run_instances")


@dataclass(frozen=True)
class _Launch:
    """The first request with a client token, and its reservation."""

    parameters: dict[str, Any]
    reservation: Reservation


def apply() -> None:
    """Replace the methods of the responses, in all regions.

    :mod:`include.local_aws.moto_patches.instances` replaces the backend's method, and calls :func:`run_instances`.
    """
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

    replace(InstanceResponse, "_validate_block_device_mapping", _check_block_device)
    replace(InstanceResponse, "run_instances", answer)


def _check_counts(response: InstanceResponse) -> None:
    """Check the number of instances. The message of AWS is not known."""
    low, high = (int(response._get_param(name, if_none="1")) for name in ("MinCount", "MaxCount"))
    if not 1 <= low <= high:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({low}) for parameter minCount is invalid. It must be at least 1, and not above maxCount ({high}).",
        )


def _check_block_device(mapping: dict[str, Any]) -> None:
    """Check a block device as moto does, except for its size, for which the image must be known."""
    if "Ebs" in mapping:
        mapping = {**mapping, "Ebs": {"VolumeSize": _ROOT_VOLUME_GIB, **mapping["Ebs"]}}
    _check_block_device_by_moto(mapping)


def _complete_block_devices(mappings: list[dict[str, Any]], root_device: str) -> None:
    """Give the image's own volume, without a size, that of the image; any other needs a size or a snapshot."""
    for mapping in mappings:
        ebs = mapping.get("Ebs")
        if not ebs or mapping.get("NoDevice") is not None or ebs.get("VolumeSize") or ebs.get("SnapshotId"):
            continue
        if mapping["DeviceName"] != root_device:
            raise MissingParameterError("size or snapshotId")
        ebs["VolumeSize"] = _ROOT_VOLUME_GIB


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


def run_instances(
    backend: Any, image_id: str, count: int, user_data: Any, security_group_names: list[str], **members: Any
) -> Reservation:
    """Launch instances as moto does, after the checks of AWS.

    :raises EC2ClientError: as AWS answers
    """
    if image_id:
        [image] = backend.describe_images(ami_ids=[image_id])
        if not members.get("is_instance_type_default"):
            _check_architecture(members["instance_type"], image.architecture)
        _complete_block_devices(members.get("block_device_mappings") or [], image.root_device_name)
    key_name = members.get("key_name")
    if key_name and key_name not in backend.key_pairs:
        raise EC2ClientError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
    if len(base64.b64decode(str(user_data or ""))) > _MAX_USER_DATA_BYTES:
        raise EC2ClientError("InvalidParameterValue", f"User data is limited to {_MAX_USER_DATA_BYTES} bytes")
    zone = members.get("placement")
    if zone and backend.get_zone_by_name(zone) is None:
        raise EC2ClientError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    nics = members.get("nics", [])
    if not members.get("is_instance_type_default"):
        subnets = [members.get("subnet_id"), *(nic.get("SubnetId") for nic in nics)]
        zones = {backend.get_subnet(subnet).availability_zone for subnet in subnets if subnet}
        _check_type(backend.region_name, members["instance_type"], zones or {zone})
    reservation: Reservation = _run_by_moto(
        backend, image_id, count, user_data, security_group_names, **members
    )
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
    """Give an instance the security groups that it has in AWS, and delete its interfaces with it.

    Without groups, it has those of its first interface, or else the default group of its VPC.
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
