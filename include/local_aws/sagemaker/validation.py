"""Checks requests and shapes answers by botocore's own model of SageMaker."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document


@functools.cache
def operation_model(operation: str) -> OperationModel:
    """Return botocore's model of an operation.

    :raises OperationNotFoundError: when SageMaker has none of that name
    """
    return _service_model().operation_model(operation)


@functools.cache
def _service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def check_request(operation: str, request: Document) -> None:
    """Check the request's members, types, lengths, patterns and enumerations, as the service does.

    :raises AwsError: naming everything that is wrong
    """
    shape = operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    problems = [report.generate_report()] if report.has_errors() else list(_violations(request, shape, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise AwsError("ValidationException", count + "; ".join(problems))


def answer(operation: str, document: Document) -> Document:
    """Return what an operation's answer shows of a document."""
    return shown(document, operation_model(operation).output_shape)


def summary_member(operation: str) -> tuple[str, StructureShape]:
    """Return the name of a List operation's list and the shape of what is in it."""
    members = operation_model(operation).output_shape.members
    return next((name, shape.member) for name, shape in members.items() if isinstance(shape, ListShape))


def shown(document: Document, shape: StructureShape) -> Document:
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
        if "pattern" in rules and not re.fullmatch(_python_pattern(rules["pattern"]), value):
            return f"satisfy regular expression pattern: {rules['pattern']}"
    return None


def _python_pattern(pattern: str) -> str:
    """Return a Java pattern of SageMaker's model (those of tags) as Python understands it."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\w").replace(r"\p{Z}", r"\s")
