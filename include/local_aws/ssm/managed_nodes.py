"""Managed nodes: the instances that have been running for a moment, and have a role."""

import time
from typing import Any

from include.local_aws.config import Config
from include.local_aws.ec2 import Machines
from include.local_aws.ec2.machine import Machine
from include.local_aws.errors import AwsError
from include.local_aws.moto_patches import instances
from include.local_aws.operations import page

PAGE_ERROR = "InvalidNextToken"
PAGE = 10
_REGISTRATION_AWS_SECONDS = 30.0
_AGENT_VERSION = "3.3.2746.0"


class ManagedNodes:
    """The managed nodes of one region. A stopped one has lost its connection; a terminated one is not listed."""

    def __init__(self, config: Config, machines: Machines) -> None:
        self._config = config
        self._machines = machines

    def online(self, instance_id: str) -> Machine | None:
        """Return the machine of an instance that accepts commands, or None."""
        machine = self._machines.find(instance_id)
        return machine if machine is not None and self._ping_status(machine) == "Online" else None

    def knows(self, instance_id: str) -> bool:
        """Return whether an instance exists and has registered with Systems Manager."""
        machine = self._machines.find(instance_id)
        return machine is not None and self._ping_status(machine) is not None

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeInstanceInformation."""
        filters = {item["Key"]: item["Values"] for item in request.get("Filters", [])}
        filters |= {
            item["key"]: item["valueSet"] for item in request.get("InstanceInformationFilterList", [])
        }
        nodes = [node for machine in self._machines.all() if (node := self._described(machine))]
        found = [node for node in nodes if all(_matches(node, *item) for item in filters.items())]
        return page("InstanceInformationList", found, request, PAGE, PAGE_ERROR)

    def _described(self, machine: Machine) -> dict[str, Any] | None:
        status = self._ping_status(machine)
        if status is None:
            return None
        address, name = instances.addresses(self._config.region, machine.instance_id)
        now = time.time()
        return {
            "InstanceId": machine.instance_id,
            "PingStatus": status,
            "LastPingDateTime": now,
            "AgentVersion": _AGENT_VERSION,
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Ubuntu",
            "PlatformVersion": "24.04",
            "ResourceType": "EC2Instance",
            "IPAddress": address,
            "ComputerName": name,
            "SourceId": machine.instance_id,
            "SourceType": "AWS::EC2::Instance",
        }

    def _ping_status(self, machine: Machine) -> str | None:
        region, instance_id = self._config.region, machine.instance_id
        if instances.role(region, instance_id) is None:
            return None
        if machine.up_since is not None:
            registered = machine.up_since + self._config.lasts(_REGISTRATION_AWS_SECONDS)
            return "Online" if time.monotonic() >= registered else None
        is_stopped = instances.state(region, instance_id) in ("stopping", "stopped")
        return "ConnectionLost" if is_stopped else None


def _matches(node: dict[str, Any], key: str, values: list[str]) -> bool:
    member = {"InstanceIds": "InstanceId", "PlatformTypes": "PlatformType"}.get(key, key)
    if member not in ("InstanceId", "PingStatus", "PlatformType", "ResourceType"):
        raise AwsError(
            "InvalidFilterKey", f"Local AWS filters instances by InstanceIds or PingStatus, not by {key}."
        )
    return node[member] in values
