"""Reads the functions that moto keeps."""

from dataclasses import dataclass, field

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaFunction, lambda_backends

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError
from include.local_aws.moto_patches import functions


@dataclass(frozen=True)
class Function:
    """A version of a function. Two are equal if an execution environment of one can run the other."""

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
    """Return the ARN of a function, or of its version or alias."""
    arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def check_exists(region: str, name: str, qualifier: str | None = None) -> LambdaFunction:
    """Return a function of moto, or the version that a number, an alias or ``$LATEST`` stands for.

    :raises AwsError: ResourceNotFoundException
    """
    try:
        return lambda_backends[ACCOUNT_ID][region].get_function(name, qualifier)
    except UnknownFunctionException:
        arn = function_arn(region, name, qualifier)
        raise AwsError("ResourceNotFoundException", f"Function not found: {arn}", 404) from None


def find_function(region: str, name: str, qualifier: str | None = None) -> Function:
    """Return the version of a function that a number, an alias or ``$LATEST`` stands for; None is ``$LATEST``.

    :raises AwsError: ResourceNotFoundException; InvalidRuntimeException if it is not a zip file with a Python runtime
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
    """Return the reserved concurrency of a function, or None."""
    return reservations(region).get(name)


def reservations(region: str) -> dict[str, int]:
    """Return the reserved concurrency of each function that has one."""
    functions = lambda_backends[ACCOUNT_ID][region]._lambdas._functions
    latest = {name: found["latest"] for name, found in list(functions.items()) if found["latest"]}
    return {
        name: int(function.reserved_concurrency)
        for name, function in latest.items()
        if function.reserved_concurrency is not None
    }


def code_usage(region: str) -> tuple[int, int]:
    """Return the number of functions of a region, and the bytes of code of all their versions."""
    functions = list(lambda_backends[ACCOUNT_ID][region]._lambdas._functions.values())
    code = sum(int(each.code_size) for found in functions for each in (found["latest"], *found["versions"]))
    return len(functions), code


def code_sha256(region: str, name: str) -> str:
    """Return the digest of a function's latest code.

    :raises AwsError: ResourceNotFoundException
    """
    return str(check_exists(region, name).code_sha_256)


def is_being_updated(region: str, name: str) -> bool:
    """Return whether a function exists and is being updated."""
    try:
        return functions.is_being_updated(lambda_backends[ACCOUNT_ID][region].get_function(name))
    except UnknownFunctionException:
        return False


def is_pending(region: str, name: str) -> bool:
    """Return whether a function exists and is being created."""
    try:
        return functions.is_pending(lambda_backends[ACCOUNT_ID][region].get_function(name))
    except UnknownFunctionException:
        return False
