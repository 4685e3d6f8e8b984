"""The plan of an endpoint's update: in which steps traffic shifts, and what is waited for between them."""

import math
from dataclasses import dataclass
from itertools import count, takewhile

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document

_STEPS = {"CANARY": ("CanarySize", 1, 50), "LINEAR": ("LinearStepSize", 10, 50)}
"""By type of routing: the member with the step's size, and AWS's limits for it in percent."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Plan:
    """How traffic shifts to a new fleet; times in seconds of AWS."""

    shares: tuple[float, ...]
    """The share of the new fleet after each step; the last is 1."""
    wait_seconds: float
    """How long alarms are watched after each step."""
    termination_seconds: float
    """How long the old fleet stays after that."""
    alarms: tuple[str, ...]


def plan(deployment: Document, variants: list[Document]) -> Plan:
    """Return the plan of a ``DeploymentConfig``; without one, all traffic shifts at once.

    Each step turns on whole instances, so a percentage of them is rounded down, and one of less than an instance is
    refused: what AWS does with that is not documented. The time limit is only checked against the waits that it has
    to cover, as starting a fleet has a limit of its own.

    :param deployment: the request's ``DeploymentConfig``
    :param variants: those of the new fleet, as Describe shows them
    :raises AwsError: ValidationException
    """
    if "RollingUpdatePolicy" in deployment:
        raise _refused("Local AWS deploys by BlueGreenUpdatePolicy; RollingUpdatePolicy is not supported.")
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0})
    shares = _shares(routing, variants)
    wait, termination = routing["WaitIntervalInSeconds"], policy.get("TerminationWaitInSeconds", 0)
    limit, needed = policy.get("MaximumExecutionTimeoutInSeconds"), len(shares) * wait + termination
    if limit is not None and limit <= needed:
        raise _refused(
            f"MaximumExecutionTimeoutInSeconds ({limit}) must be larger than the {needed} seconds that the "
            "deployment waits."
        )
    alarms = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return Plan(shares, wait, termination, tuple(alarm["AlarmName"] for alarm in alarms))


def _shares(routing: Document, variants: list[Document]) -> tuple[float, ...]:
    kind = routing["Type"]
    if kind == "ALL_AT_ONCE":
        return (1.0,)
    member, lowest, highest = _STEPS[kind]
    if member not in routing:
        raise _refused(f"TrafficRoutingConfiguration of type {kind} needs {member}.")
    size = routing[member]
    instances = min(variant["DesiredInstanceCount"] for variant in variants)
    percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / instances
    if not lowest <= percent <= highest:
        raise _refused(
            f"{member} must be {lowest} to {highest} percent of a variant's instances; {size['Value']} as "
            f"{size['Type']} are {percent:g} percent of {instances}."
        )
    step = math.floor(percent * instances / 100 + _ROUNDING)
    if step == 0:
        raise _refused(
            f"{member} is {size['Value']} percent of {instances} instances, which is less than one instance."
        )
    turned_on = [step] if kind == "CANARY" else takewhile(lambda on: on < instances, count(step, step))
    return (*(on / instances for on in turned_on), 1.0)


def _refused(sentence: str) -> AwsError:
    return AwsError("ValidationException", sentence)
