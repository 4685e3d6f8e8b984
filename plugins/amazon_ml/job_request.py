"""Convert the members of a SageMaker request to the types that boto3 expects."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


def coerce_types(request: Any, shape: Shape) -> Any:
    """
    Return a request in which text from templates is converted to the numbers and booleans that the shape requires.

    :param request: The parameters of boto3's create method, or a part of them.
    :param shape: The botocore shape of the request.
    """
    if isinstance(shape, StructureShape) and isinstance(request, dict):
        members = shape.members
        return {
            key: coerce_types(part, members[key]) if key in members else part for key, part in request.items()
        }
    if isinstance(shape, MapShape) and isinstance(request, dict):
        return {key: coerce_types(part, shape.value) for key, part in request.items()}
    if isinstance(shape, ListShape) and isinstance(request, list):
        return [coerce_types(part, shape.member) for part in request]
    if isinstance(request, str):
        try:
            if shape.type_name in ("integer", "long"):
                return int(request)
            if shape.type_name in ("float", "double"):
                return float(request)
        except ValueError:
            return request  # boto3 reports the invalid value
        if shape.type_name == "boolean":
            return {"true": True, "false": False}.get(request.lower(), request)
    return request
