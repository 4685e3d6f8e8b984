"""Functions of Lambda: take a while to create and update, and publish versions as AWS does."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.awslambda.models import LambdaFunction, LambdaStorage

from include.local_aws.moto_patches import original, replace

_configuration_by_moto = original(LambdaFunction, "get_configuration")
_update_code_by_moto = original(LambdaFunction, "update_function_code")
_update_configuration_by_moto = original(LambdaFunction, "update_configuration")
_put_by_moto = original(LambdaStorage, "put_function")


def apply(update_seconds: float) -> None:
    """Replace the methods.

    :param update_seconds: how long a function is being created or updated; in moto, it is done immediately
    """

    def put_function(storage: LambdaStorage, function: LambdaFunction) -> None:
        _put_by_moto(storage, function)
        function.__dict__["pending_until"] = time.monotonic() + update_seconds

    def update_code(function: LambdaFunction, updated_spec: dict[str, Any]) -> dict[str, Any]:
        if not updated_spec.get("DryRun"):
            with updating(function):
                return _update_code_by_moto(function, updated_spec)
        was_updated = function.code_or_config_updated
        answer = _update_code_by_moto(function, updated_spec)
        function.code_or_config_updated = was_updated
        return answer

    def update_configuration(function: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        with updating(function):
            return _update_configuration_by_moto(function, config_updates)

    @contextmanager
    def updating(function: LambdaFunction) -> Iterator[None]:
        """Begin an update, which is in progress at least until the answer to its request is made, as in AWS."""
        function.__dict__["updating_until"] = math.inf
        try:
            yield
        finally:
            function.__dict__["updating_until"] = time.monotonic() + update_seconds

    replace(LambdaStorage, "put_function", put_function)
    replace(LambdaStorage, "publish_version", _publish_version)
    replace(LambdaFunction, "update_function_code", update_code)
    replace(LambdaFunction, "update_configuration", update_configuration)
    replace(LambdaFunction, "get_configuration", _configuration)


def is_being_updated(function: LambdaFunction) -> bool:
    """Return whether an update of a function is in progress."""
    # A published version is a copy that never changes.
    is_latest = str(function.version) == "$LATEST"
    return is_latest and time.monotonic() < function.__dict__.get("updating_until", 0.0)


def is_pending(function: LambdaFunction) -> bool:
    """Return whether a function is still being created."""
    is_latest = str(function.version) == "$LATEST"
    return is_latest and time.monotonic() < function.__dict__.get("pending_until", 0.0)


def _configuration(function: LambdaFunction, on_create: bool = False) -> dict[str, Any]:
    configuration = _configuration_by_moto(function, on_create)
    if is_pending(function) or (on_create and str(function.version) == "$LATEST"):
        configuration.pop("LastUpdateStatus", None)
        return configuration | {
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
        }
    if "LastUpdateStatus" in configuration and is_being_updated(function):
        configuration |= {
            "LastUpdateStatus": "InProgress",
            "LastUpdateStatusReason": "The function is being updated.",
            "LastUpdateStatusReasonCode": "Creating",
        }
    return configuration


def _publish_version(storage: LambdaStorage, name_or_arn: str, description: str = "") -> LambdaFunction:
    """Publish a version after each update, even to the same code, and never use a number twice (getmoto/moto#8379).

    moto publishes again what was updated only before the first version, and counts the versions that exist, so that a
    number is used again after its version was deleted.
    """
    latest = storage.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
    published = storage._functions[latest.function_name]["versions"]
    if published and not latest.code_or_config_updated:
        return published[-1]
    latest.code_or_config_updated = False
    numbers = storage.__dict__.setdefault("last_published_numbers", {})
    numbers[latest.function_name] = numbers.get(latest.function_name, 0) + 1
    version = copy.copy(latest)
    version.set_version(numbers[latest.function_name])
    if description:
        version.description = description
    published.append(version)
    storage._arns[version.function_arn] = version
    return version
