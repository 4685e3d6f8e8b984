"""Determine the status of an EC2 instance and of the command that Systems Manager runs on it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

from include.aws.documents import AwsAnswer, AwsRequest

# A command in any other state has ended.
COMMAND_PENDING = ("Pending", "InProgress", "Delayed", "Cancelling")
ALIVE = ("pending", "running")
ENDED = ("shutting-down", "terminated", "stopping", "stopped")

Calls = Generator[tuple[str, str, AwsRequest], AwsAnswer, "InstanceStatus"]
"""Yield the service, operation and arguments of each call, receive its response, and return the status."""


@dataclass(frozen=True)
class InstanceStatus:
    """
    The status of an instance and its command at one moment.

    :param status: ``waiting``, ``ready`` (the instance accepts commands), ``ended`` (the command has succeeded or
        failed) or ``lost`` (the instance no longer exists).
    :param message: The details in a few words.
    """

    status: Literal["waiting", "ready", "ended", "lost"]
    message: str


def check_instance(instance_id: str, command_id: str | None) -> Calls:
    """Check a command on an instance or, without a command, whether the instance accepts commands yet."""
    doing = "not ready for commands yet"
    if command_id:
        answer = yield (
            "ssm",
            "list_command_invocations",
            {"CommandId": command_id, "InstanceId": instance_id},
        )
        for invocation in answer["CommandInvocations"]:
            if invocation["Status"] not in COMMAND_PENDING:
                return InstanceStatus("ended", f"command {invocation['Status']}")
            doing = f"command {invocation['Status']}"
    # With a filter, the response for an instance that AWS does not list yet, or no longer lists, is not an error.
    answer = yield (
        "ec2",
        "describe_instances",
        {"Filters": [{"Name": "instance-id", "Values": [instance_id]}]},
    )
    instances = [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]
    if not instances:
        return (
            InstanceStatus("lost", "no longer exists")
            if command_id
            else InstanceStatus("waiting", "launched")
        )
    state = instances[0]["State"]["Name"]
    if state in ENDED:
        return InstanceStatus("lost", f"{state} ({_reason(instances[0])})")
    if state == "running" and command_id is None:
        answer = yield (
            "ssm",
            "describe_instance_information",
            {"Filters": [{"Key": "InstanceIds", "Values": [instance_id]}]},
        )
        if any(item["PingStatus"] == "Online" for item in answer["InstanceInformationList"]):
            return InstanceStatus("ready", "ready for commands")
    return InstanceStatus("waiting", f"{state}, {doing}")


def _reason(instance: AwsAnswer) -> str:
    """Return the reason, such as ``Server.SpotInstanceTermination: Spot instance termination``."""
    reason = instance.get("StateReason", {}).get("Message") or instance.get("StateTransitionReason")
    return reason or "EC2 gives no reason"
