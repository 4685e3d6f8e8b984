"""The reach into moto's security groups: one that a network interface uses is not deleted."""

import time
from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupBackend

from include.local_aws.ec2 import moto_instances

_delete_by_moto = SecurityGroupBackend.delete_security_group


def keep_while_in_use(linger_seconds: float) -> None:
    """Refuse to delete a group while an instance has it, and for some seconds after its end."""

    def delete(backend: Any, name: str | None = None, group_id: str | None = None) -> None:
        group = backend.get_security_group_by_name_or_id(group_id or name or "")
        if group is not None and any(
            group.id in _group_ids(instance) and _holds_groups(instance, linger_seconds)
            for instance in _instances(backend)
        ):
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
        _delete_by_moto(backend, name, group_id)

    SecurityGroupBackend.delete_security_group = delete  # type: ignore[method-assign, assignment]


def _instances(backend: EC2Backend) -> list[Instance]:
    return [instance for each in list(backend.reservations.values()) for instance in each.instances]


def _group_ids(instance: Instance) -> set[str]:
    groups = [*instance.security_groups, *(one for nic in instance.nics.values() for one in nic.group_set)]
    return {group.id for group in groups}


def _holds_groups(instance: Instance, linger_seconds: float) -> bool:
    if instance.state != "terminated":
        return True
    ended = moto_instances.terminated_at(instance)
    return ended is not None and time.monotonic() < ended + linger_seconds
