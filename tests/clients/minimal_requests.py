"""The smallest request of any operation that botocore's model of it allows."""

from __future__ import annotations

import datetime
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

_WORDS = {
    "arn": "arn:aws:sagemaker:us-east-1:123456789012:model/none",
    "uri": "s3://none/none",
    "email": "none@example.com",
}


def minimal_request(operation: OperationModel) -> dict[str, Any]:
    """Return values for the required members alone; what they name does not exist."""
    return {} if operation.input_shape is None else _value(operation.input_shape, "")


def _value(shape: Shape, name: str) -> Any:
    if isinstance(shape, StructureShape):
        return {member: _value(shape.members[member], member) for member in shape.required_members}
    if isinstance(shape, ListShape):
        return [_value(shape.member, name)] * max(1, shape.metadata.get("min", 1))
    if isinstance(shape, MapShape):
        return {_value(shape.key, "key"): _value(shape.value, "value")}
    if shape.type_name == "string":
        return _text(shape, name)
    if shape.type_name == "timestamp":
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    if shape.type_name == "boolean":
        return False
    if shape.type_name == "blob":
        return b"none"
    return shape.metadata.get("min", 1)


def _text(shape: Shape, name: str) -> str:
    if shape.enum:
        return shape.enum[0]
    word = next((text for part, text in _WORDS.items() if part in name.lower()), "none-such-thing")
    return word.ljust(shape.metadata.get("min", 0), "a")[: shape.metadata.get("max")]
