"""Find out what has become of an EC2 instance, and of the command that Systems Manager runs on it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

# A command in any other state has ended.
COMMAND_PENDING = ("Pending", "InProgress", "Delayed", "Cancelling")
ALIVE = ("pending", "running")
ENDED = ("shutting-down", "terminated", "stopping", "stopped")

Calls = Generator[tuple[str, str, dict[str, Any]], dict[str, Any], "Look"]
"""Yields service, operation and arguments of each call, takes its answer, returns what was seen."""


@dataclass(frozen=True)
class Look:
    """
    What one look has shown.

    :param status: ``waiting``, ``ready`` (the instance takes commands), ``ended`` (the command has, well or not) or
        ``lost`` (the instance is no longer there).
    :param message: the same in a few words.
    """

    status: Literal["waiting", "ready", "ended", "lost"]
    message: str


def look(instance_id: str, command_id: str | None) -> Calls:
    """Look at a command on an instance or, without one, at whether the instance takes commands yet."""
    doing = "not ready for commands yet"
    if command_id:
        answer = yield (
            "ssm",
            "list_command_invocations",
            {"CommandId": command_id, "InstanceId": instance_id},
        )
        for invocation in answer["CommandInvocations"]:
            if invocation["Status"] not in COMMAND_PENDING:
                return Look("ended", f"command {invocation['Status']}")
            doing = f"command {invocation['Status']}"
    # By a filter, since there is no error then for an instance that AWS does not know yet, or no longer.
    answer = yield (
        "ec2",
        "describe_instances",
        {"Filters": [{"Name": "instance-id", "Values": [instance_id]}]},
    )
    instances = [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]
    if not instances:
        return Look("lost", "AWS no longer knows it") if command_id else Look("waiting", "launched")
    state = instances[0]["State"]["Name"]
    if state in ENDED:
        return Look("lost", f"{state} ({_reason(instances[0])})")
    if state == "running" and command_id is None:
        answer = yield (
            "ssm",
            "describe_instance_information",
            {"Filters": [{"Key": "InstanceIds", "Values": [instance_id]}]},
        )
        if any(item["PingStatus"] == "Online" for item in answer["InstanceInformationList"]):
            return Look("ready", "ready for commands")
    return Look("waiting", f"{state}, {doing}")


def _reason(instance: dict[str, Any]) -> str:
    """Such as ``Server.SpotInstanceTermination: Spot instance termination``."""
    reason = instance.get("StateReason", {}).get("Message") or instance.get("StateTransitionReason")
    return reason or "EC2 gives no reason"
