"""Instances of EC2: have the states of the machines that run for them.

In moto, an instance is running or terminated immediately.
"""

import base64
import copy
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState, Reservation, StateReason
from moto.ec2.responses import EC2Response
from moto.ec2.responses.general import General
from moto.ec2.utils import filter_iam_instance_profiles

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.moto_patches import launches, original, replace

_PENDING = ("pending", 0)
_RUNNING = ("running", 16)
_SHUTTING_DOWN = ("shutting-down", 32)
_STOPPING = ("stopping", 64)
_FROM_WITHIN = "Client.InstanceInitiatedShutdown"

# Moto changes one member after the other, and reads them when it writes an answer. While it does either, no other
# request is answered and no machine changes its instance.
_lock = threading.RLock()

_answer_by_moto = original(EC2Response, "call_action")
_start_by_moto = original(Instance, "start")
_stop_by_moto = original(Instance, "stop")
_terminate_by_moto = original(Instance, "terminate")
_reboot_by_moto = original(Instance, "reboot")
_console_by_moto = original(General, "get_console_output")


class Power(Protocol):
    """Runs the machines."""

    def boot(self, instance_id: str, user_data: bytes) -> None:
        """Begin to boot."""

    def power_off(self, instance_id: str, ended: Callable[[], None], *, remove: bool) -> None:
        """Begin to end all processes, and call ended when they have ended."""

    def console_output(self, instance_id: str) -> bytes:
        """Return what the machine has printed."""


def apply(region: str, power: Power) -> None:
    """Run the instances of a region on machines; those of other regions remain records of moto."""

    def is_elsewhere(backend: Any) -> bool:
        return (backend.account_id, backend.region_name) != (ACCOUNT_ID, region)

    def answer(response: EC2Response) -> Any:
        with _lock:
            return _answer_by_moto(response)

    def run_instances(backend: Any, *arguments: Any, **members: Any) -> Reservation:
        reservation = launches.run_instances(backend, *arguments, **members)
        if not is_elsewhere(backend):
            for instance in reservation.instances:
                instance._state = InstanceState(*_PENDING)
                power.boot(instance.id, base64.b64decode(str(instance.user_data or "")))
        return reservation

    def start(instance: Instance) -> InstanceState:
        if is_elsewhere(instance.ec2_backend):
            return _start_by_moto(instance)
        previous = copy.copy(instance._state)
        if instance.state in ("pending", "running"):
            return previous
        if instance.state != "stopped":
            raise _wrong_state(instance, "started")
        _start_by_moto(instance)
        instance._state = InstanceState(*_PENDING)
        instance.launch_time = utcnow()
        power.boot(instance.id, b"")
        return previous

    def stop(instance: Instance) -> InstanceState:
        if is_elsewhere(instance.ec2_backend):
            return _stop_by_moto(instance)
        if instance.lifecycle == "spot":
            raise EC2ClientError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time "
                "Spot Instance request. You can only stop Spot Instances associated with persistent Spot "
                "Instance requests.",
            )
        if instance.state in ("stopping", "stopped"):
            return copy.copy(instance._state)
        if instance.state != "running":
            raise _wrong_state(instance, "stopped")
        return end(instance, _STOPPING, _stop_by_moto)

    def terminate(instance: Instance) -> InstanceState:
        if is_elsewhere(instance.ec2_backend):
            return _terminate_by_moto(instance)
        if instance.state in ("shutting-down", "terminated"):
            return copy.copy(instance._state)
        return end(instance, _SHUTTING_DOWN, _terminate_by_moto)

    def end(
        instance: Instance, state: tuple[str, int], by_moto: Callable[[Instance], InstanceState]
    ) -> InstanceState:
        previous = copy.copy(instance._state)
        instance._state = InstanceState(*state)

        def ended() -> None:
            with _lock:
                # An instance that is terminated while it stops ends once.
                if instance.state != state[0]:
                    return
                reason = instance.state_reason
                by_moto(instance)
                if state == _SHUTTING_DOWN:
                    instance.__dict__["terminated_at"] = time.monotonic()
                if reason.code == _FROM_WITHIN:
                    instance.state_reason, instance._reason = reason, ""

        power.power_off(instance.id, ended, remove=state == _SHUTTING_DOWN)
        return previous

    def reboot(instance: Instance) -> None:
        if is_elsewhere(instance.ec2_backend):
            return _reboot_by_moto(instance)
        raise EC2ClientError(
            "UnsupportedOperation", "Local AWS does not reboot instances; stop the instance and start it."
        )

    def get_console_output(response: General) -> ActionResult:
        if is_elsewhere(response.ec2_backend):
            return _console_by_moto(response)
        instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
        output = Base64EncodedString(base64.b64encode(power.console_output(instance.id)).decode())
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    replace(EC2Response, "call_action", answer)
    replace(InstanceBackend, "run_instances", run_instances)
    replace(Instance, "start", start)
    replace(Instance, "stop", stop)
    replace(Instance, "terminate", terminate)
    replace(Instance, "reboot", reboot)
    replace(General, "get_console_output", get_console_output)


def show_running(region: str, instance_id: str) -> None:
    """Set the state of an instance that has booted, unless it is being stopped already."""
    with _lock:
        instance = _find(region, instance_id)
        if instance is not None and instance.state == "pending":
            instance._state = InstanceState(*_RUNNING)


def shut_down(region: str, instance_id: str) -> None:
    """Stop or terminate an instance from within, by its shutdown behavior; terminate a spot instance."""
    with _lock:
        instance = _find(region, instance_id)
        if instance is None or instance.state != "running":
            return
        instance.state_reason = StateReason(f"{_FROM_WITHIN}: Instance initiated shutdown", _FROM_WITHIN)
        if instance.lifecycle == "spot" or instance.instance_initiated_shutdown_behavior == "terminate":
            instance.terminate()
        else:
            instance.stop()


def state(region: str, instance_id: str) -> str | None:
    """Return the state of an instance, or None if it does not exist."""
    instance = _find(region, instance_id)
    return None if instance is None else str(instance.state)


def terminated_at(instance: Instance) -> float | None:
    """Return when an instance was terminated, by the monotonic clock; None if it ran on no machine."""
    moment: float | None = instance.__dict__.get("terminated_at")
    return moment


def role(region: str, instance_id: str) -> str | None:
    """Return the name of the role in the instance profile; None without a profile or a role."""
    instance = _find(region, instance_id)
    if instance is None or not instance.iam_instance_profile:
        return None
    profile = filter_iam_instance_profiles(
        ACCOUNT_ID,
        partition=instance.ec2_backend.partition,
        iam_instance_profile_arn=instance.iam_instance_profile["Arn"],
        iam_instance_profile_name=None,
    )
    return profile.roles[0].name if profile.roles else None


def addresses(region: str, instance_id: str) -> tuple[str, str]:
    """Return the private IP address and DNS name of an instance."""
    instance = ec2_backends[ACCOUNT_ID][region].get_instance(instance_id)
    return instance.private_ip or "", instance.private_dns_name


def _find(region: str, instance_id: str) -> Instance | None:
    return ec2_backends[ACCOUNT_ID][region].get_instance_by_id(instance_id)


def _wrong_state(instance: Instance, done: str) -> EC2ClientError:
    return EC2ClientError(
        "IncorrectInstanceState",
        f"This instance '{instance.id}' is not in a state from which it can be {done}.",
    )
