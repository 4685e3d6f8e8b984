"""What AWS refuses, and moto does: updates at the wrong time or of something else, tags of versions, old runtimes."""

import base64
import io
import zipfile
from typing import Any

from include.local_aws.awslambda.moto_aliases import aliases_of_version
from include.local_aws.awslambda.moto_functions import (
    check_exists,
    code_sha256,
    function_arn,
    is_being_updated,
    is_pending,
)
from include.local_aws.errors import AwsError

Members = dict[str, Any]

OLD_RUNTIMES = frozenset({"python2.7", "python3.6", "python3.7"})
MAX_REQUEST_BYTES = 70_167_211
"""A zip of 50 MB, in base64."""
MAX_TIMEOUT_SECONDS = 900
"""By the Developer Guide, "Lambda quotas"; botocore's model lets more through."""
MAX_QUEUED_EVENT_BYTES = 1024 * 1024
"""By the API reference of Invoke: 1 MB for asynchronous invocations."""


def check_creation(members: Members, request_bytes: int) -> None:
    """Refuse a package that is too large or no package, a timeout that is too long, or an unsupported runtime.

    :raises AwsError: as AWS answers
    """
    if request_bytes > MAX_REQUEST_BYTES:
        raise AwsError(
            "RequestEntityTooLargeException",
            f"Request must be smaller than {MAX_REQUEST_BYTES} bytes for the CreateFunction operation",
            413,
        )
    if members.get("Runtime") in OLD_RUNTIMES:
        raise AwsError(
            "InvalidParameterValueException",
            f"The runtime parameter of {members['Runtime']} is no longer supported for creating or updating AWS Lambda "
            "functions. We recommend you use a supported runtime while creating or updating functions.",
        )
    check_configuration(members)
    code = members.get("Code") or {}
    if not code.keys() & {"ZipFile", "S3Bucket", "ImageUri"}:
        raise AwsError("InvalidParameterValueException", "Please provide a source for function code.")
    check_package(code)


def check_configuration(members: Members) -> None:
    """Refuse a timeout that is longer than a function may run.

    :raises AwsError: ValidationException
    """
    timeout = members.get("Timeout")
    if isinstance(timeout, int) and timeout > MAX_TIMEOUT_SECONDS:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{timeout}' at 'timeout' failed to satisfy constraint: Member must "
            f"have value less than or equal to {MAX_TIMEOUT_SECONDS}",
        )


def check_package(code: Members) -> None:
    """Refuse a package in the request that is no zip file.

    :raises AwsError: InvalidParameterValueException
    """
    if "ZipFile" not in code:
        return
    try:
        package = base64.b64decode(str(code["ZipFile"]), validate=True)
    except ValueError:
        package = b""
    if not zipfile.is_zipfile(io.BytesIO(package)):
        raise AwsError(
            "InvalidParameterValueException",
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        )


def check_event(kind: str, event_bytes: int) -> None:
    """Refuse an event that is too large to be queued.

    :raises AwsError: RequestEntityTooLargeException
    """
    if kind == "Event" and event_bytes > MAX_QUEUED_EVENT_BYTES:
        raise AwsError(
            "RequestEntityTooLargeException",
            f"{event_bytes} byte payload is too large for the Event invocation type (limit {MAX_QUEUED_EVENT_BYTES} "
            "bytes)",
            413,
        )


def check_update(region: str, name: str, members: Members) -> None:
    """Refuse an update or a publication while the function is being created or updated, or of another revision."""
    check_not_pending(region, name)
    if is_being_updated(region, name):
        raise AwsError(
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource: "
            f"{function_arn(region, name)}",
            409,
        )
    if members.get("RevisionId"):  # local AWS gives functions none, so that no caller can have the right one
        raise AwsError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id",
            412,
        )


def check_not_pending(region: str, name: str) -> None:
    """Refuse what needs a function that has been created."""
    if is_pending(region, name):
        raise AwsError(
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the following state: "
            "Pending",
            409,
        )


def check_code(region: str, name: str, wanted: str | None) -> None:
    """Refuse to publish other code than the caller means."""
    current = code_sha256(region, name)
    if wanted not in (None, "", current):
        raise AwsError(
            "InvalidParameterValueException",
            f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with "
            "the CodeSHA256 in $LATEST.",
        )


def check_deletion(region: str, name: str, version: str | None) -> None:
    """Refuse to delete a version that an alias sends calls to, or a function that does not exist."""
    try:
        check_exists(region, name, version)
    except AwsError:
        raise AwsError(
            "ResourceNotFoundException", f"Function not found: {function_arn(region, name)}", 404
        ) from None
    if version == "$LATEST":
        raise AwsError(
            "InvalidParameterValueException",
            "$LATEST version cannot be deleted without deleting the function.",
        )
    aliases = aliases_of_version(region, name, version) if version else []
    if aliases:
        raise AwsError(
            "ResourceConflictException",
            f"Unable to delete version because the following aliases reference it: [{', '.join(aliases)}]",
            409,
        )


def check_taggable(arn: str) -> None:
    """Refuse to tag an alias or a version."""
    if arn.partition(":function:")[2].count(":"):
        raise AwsError(
            "InvalidParameterValueException",
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        )


def check_unqualified(qualifier: str | None) -> None:
    """Refuse what is a function's alone."""
    if qualifier:
        raise AwsError(
            "InvalidParameterValueException",
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN.",
        )
