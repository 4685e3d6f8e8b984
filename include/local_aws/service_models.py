"""Finds what is wrong with a request by botocore's own model of the service, as the service itself does."""

import functools
from collections.abc import Iterator
from typing import Any

import botocore.session
import regex
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from include.local_aws.errors import AwsError


@functools.cache
def operation_model(service: str, operation: str) -> OperationModel:
    """Return botocore's model of an operation.

    :raises OperationNotFoundError: when the service has none of that name
    """
    return _service_model(service).operation_model(operation)


def has_operation(service: str, operation: str) -> bool:
    """Return whether a service has an operation of a name."""
    return operation in _service_model(service).operation_names


@functools.cache
def _service_model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def check_request(service: str, operation: str, request: dict[str, Any]) -> None:
    """Check the request's members, types, lengths, patterns and enumerations.

    :raises AwsError: naming everything that is wrong
    """
    shape = operation_model(service, operation).input_shape
    report = ParamValidator().validate(request, shape)
    problems = [report.generate_report()] if report.has_errors() else list(_violations(request, shape, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise AwsError("ValidationException", count + "; ".join(problems))


def shown(document: dict[str, Any], shape: StructureShape) -> dict[str, Any]:
    """Return what a shape shows of a document."""
    # A copy: the thread that runs a job goes on writing to the document while the answer is encoded.
    return {
        name: value for name, value in dict(document).items() if name in shape.members and value is not None
    }


def _violations(value: Any, shape: Shape, where: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name, member in value.items():
            yield from _violations(member, shape.members[name], f"{where}.{name}" if where else name)
        return
    if isinstance(shape, ListShape):
        for position, member in enumerate(value, 1):
            yield from _violations(member, shape.member, f"{where}.{position}.member")
    if isinstance(shape, MapShape):
        for key, member in value.items():
            yield from _violations(member, shape.value, f"{where}.{key}")
    constraint = _broken_constraint(value, shape)
    if constraint:
        yield f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {constraint}"


def _broken_constraint(value: Any, shape: Shape) -> str | None:
    rules = shape.metadata
    if "max" in rules:
        if isinstance(value, (str, list, dict)) and len(value) > rules["max"]:
            return f"have length less than or equal to {rules['max']}"
        if isinstance(value, (int, float)) and value > rules["max"]:
            return f"be less than or equal to {rules['max']}"
    if isinstance(value, str):
        if "enum" in rules and value not in rules["enum"]:
            return f"satisfy enum value set: [{', '.join(rules['enum'])}]"
        if "pattern" in rules and not _pattern(rules["pattern"]).fullmatch(value):
            return f"satisfy regular expression pattern: {rules['pattern']}"
    return None


@functools.cache
def _pattern(pattern: str) -> "regex.Pattern[str]":
    """Compile a Java pattern of a service's model; a dot stands for no line separator, not even Unicode's."""
    beyond_16_bits = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    return regex.compile(beyond_16_bits.replace("${1,256}", "$"), regex.WORD)
