"""The reach into moto's functions: reads them, and has moto create, update and publish them as AWS does."""

import copy
import time
from dataclasses import dataclass, field
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaFunction, LambdaStorage, lambda_backends

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError

_configuration_by_moto = LambdaFunction.get_configuration
_update_code_by_moto = LambdaFunction.update_function_code
_update_configuration_by_moto = LambdaFunction.update_configuration
_put_by_moto = LambdaStorage.put_function


@dataclass(frozen=True)
class Function:
    """One version of a function; two are equal where an execution environment of one can serve the other."""

    region: str
    name: str
    version: str
    handler: str
    runtime: str
    timeout_seconds: int
    memory_mb: int
    variables: tuple[tuple[str, str], ...]
    code_sha256: str
    code: bytes = field(compare=False, repr=False)


def function_arn(region: str, name: str, qualifier: str | None = None) -> str:
    """The ARN of a function, or of its version or alias."""
    arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def check_exists(region: str, name: str, qualifier: str | None = None) -> LambdaFunction:
    """See that there is a function, or the version that a number, an alias or ``$LATEST`` stands for.

    :return: it, as moto has it
    :raises AwsError: ResourceNotFoundException
    """
    try:
        return lambda_backends[ACCOUNT_ID][region].get_function(name, qualifier)
    except UnknownFunctionException:
        arn = function_arn(region, name, qualifier)
        raise AwsError("ResourceNotFoundException", f"Function not found: {arn}", 404) from None


def find_function(region: str, name: str, qualifier: str | None = None) -> Function:
    """The version of a function that a number, an alias or ``$LATEST`` (as does None) stands for.

    :raises AwsError: ResourceNotFoundException; InvalidRuntimeException for what is no zip of Python code
    """
    found = check_exists(region, name, qualifier)
    if found.package_type != "Zip" or not str(found.run_time).startswith("python"):
        raise AwsError(
            "InvalidRuntimeException",
            f"Local AWS runs functions from zip files with a Python runtime; {name} is not one.",
            502,
        )
    return Function(
        region=region,
        name=name,
        version=str(found.version),
        handler=str(found.handler),
        runtime=str(found.run_time),
        timeout_seconds=int(found.timeout),
        memory_mb=int(found.memory_size),
        variables=tuple(sorted((found.environment_vars or {}).items())),
        code_sha256=found.code_sha_256,
        code=found.code_bytes,
    )


def reserved_concurrency(region: str, name: str) -> int | None:
    """How many calls of a function may run at once; None where nothing is reserved."""
    return reservations(region).get(name)


def reservations(region: str) -> dict[str, int]:
    """Return what is reserved for each function that has reserved concurrency."""
    functions = lambda_backends[ACCOUNT_ID][region]._lambdas._functions
    latest = {name: found["latest"] for name, found in list(functions.items()) if found["latest"]}
    return {
        name: int(function.reserved_concurrency)
        for name, function in latest.items()
        if function.reserved_concurrency is not None
    }


def code_usage(region: str) -> tuple[int, int]:
    """Return how many functions a region has, and how many bytes of code, with those of all versions."""
    functions = list(lambda_backends[ACCOUNT_ID][region]._lambdas._functions.values())
    code = sum(int(each.code_size) for found in functions for each in (found["latest"], *found["versions"]))
    return len(functions), code


def code_sha256(region: str, name: str) -> str:
    """Return the digest of a function's latest code.

    :raises AwsError: ResourceNotFoundException
    """
    return str(check_exists(region, name).code_sha_256)


def keep_updates_in_progress(seconds: float) -> None:
    """Have creation, and an update of code or configuration, take a while: moto's are done at once."""

    def put_function(storage: LambdaStorage, function: LambdaFunction) -> None:
        _put_by_moto(storage, function)
        function.__dict__["pending_until"] = time.monotonic() + seconds

    def update_code(function: LambdaFunction, updated_spec: dict[str, Any]) -> dict[str, Any]:
        if not updated_spec.get("DryRun"):
            _begin_update(function, seconds)
        return _update_code_by_moto(function, updated_spec)

    def update_configuration(function: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        _begin_update(function, seconds)
        return _update_configuration_by_moto(function, config_updates)

    LambdaStorage.put_function = put_function  # type: ignore[method-assign, assignment]
    LambdaFunction.update_function_code = update_code  # type: ignore[method-assign, assignment]
    LambdaFunction.update_configuration = update_configuration  # type: ignore[method-assign, assignment]
    LambdaFunction.get_configuration = _configuration  # type: ignore[method-assign, assignment]


def is_being_updated(region: str, name: str) -> bool:
    """Whether an update of a function is in progress; not of one that does not exist."""
    try:
        return _is_being_updated(lambda_backends[ACCOUNT_ID][region].get_function(name))
    except UnknownFunctionException:
        return False


def is_pending(region: str, name: str) -> bool:
    """Whether a function is still being created; not of one that does not exist."""
    try:
        return _is_pending(lambda_backends[ACCOUNT_ID][region].get_function(name))
    except UnknownFunctionException:
        return False


def _begin_update(function: LambdaFunction, seconds: float) -> None:
    function.__dict__["updating_until"] = time.monotonic() + seconds


def _is_being_updated(function: LambdaFunction) -> bool:
    # A published version is a copy that never changes.
    is_latest = str(function.version) == "$LATEST"
    return is_latest and time.monotonic() < function.__dict__.get("updating_until", 0.0)


def _is_pending(function: LambdaFunction) -> bool:
    is_latest = str(function.version) == "$LATEST"
    return is_latest and time.monotonic() < function.__dict__.get("pending_until", 0.0)


def _configuration(function: LambdaFunction, on_create: bool = False) -> dict[str, Any]:
    configuration = _configuration_by_moto(function, on_create)
    if _is_pending(function):
        configuration.pop("LastUpdateStatus", None)
        return configuration | {
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
        }
    if "LastUpdateStatus" in configuration and _is_being_updated(function):
        configuration |= {
            "LastUpdateStatus": "InProgress",
            "LastUpdateStatusReason": "The function is being updated.",
            "LastUpdateStatusReasonCode": "Creating",
        }
    return configuration


def publish_versions_as_aws_does() -> None:
    """Replace moto's publishing of versions, which errs in two ways.

    It publishes again what has not changed since the first version, and counts the versions that exist, so
    that a number is given twice once a version was deleted. AWS does neither.
    """
    LambdaStorage.publish_version = _publish_version  # type: ignore[method-assign, assignment]


def _publish_version(storage: LambdaStorage, name_or_arn: str, description: str = "") -> LambdaFunction:
    latest = storage.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
    published = storage._functions[latest.function_name]["versions"]
    if published and _content(published[-1]) == _content(latest):
        return published[-1]
    numbers = storage.__dict__.setdefault("last_published_numbers", {})
    numbers[latest.function_name] = numbers.get(latest.function_name, 0) + 1
    version = copy.copy(latest)
    version.set_version(numbers[latest.function_name])
    if description:
        version.description = description
    published.append(version)
    storage._arns[version.function_arn] = version
    return version


def _content(function: LambdaFunction) -> dict[str, Any]:
    """What makes a version differ from another: code and configuration, not how or when it was published."""
    beside = {"Description", "FunctionArn", "LastModified", "LastUpdateStatus", "State", "Version"}
    return {key: value for key, value in _configuration_by_moto(function).items() if key not in beside}
