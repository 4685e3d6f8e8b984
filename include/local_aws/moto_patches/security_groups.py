"""Security groups of EC2: do not delete one that a network interface uses."""

import time
from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupBackend

from include.local_aws.moto_patches import instances, original, replace

INTERFACE_AWS_SECONDS = 60.0
"""How long the network interface of an instance exists after the instance: seconds to minutes in AWS."""

_delete_by_moto = original(SecurityGroupBackend, "delete_security_group")


def apply(linger_seconds: float) -> None:
    """Refuse to delete a group while an instance has it, and for some seconds after the instance is terminated."""

    def delete(backend: Any, name: str | None = None, group_id: str | None = None) -> None:
        group = backend.get_security_group_by_name_or_id(group_id or name or "")
        if group is not None and any(
            group.id in _group_ids(instance) and _holds_groups(instance, linger_seconds)
            for instance in _instances(backend)
        ):
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
        _delete_by_moto(backend, name, group_id)

    replace(SecurityGroupBackend, "delete_security_group", delete)


def _instances(backend: EC2Backend) -> list[Instance]:
    return [instance for each in list(backend.reservations.values()) for instance in each.instances]


def _group_ids(instance: Instance) -> set[str]:
    groups = [*instance.security_groups, *(one for nic in instance.nics.values() for one in nic.group_set)]
    return {group.id for group in groups}


def _holds_groups(instance: Instance, linger_seconds: float) -> bool:
    if instance.state != "terminated":
        return True
    ended = instances.terminated_at(instance)
    return ended is not None and time.monotonic() < ended + linger_seconds
