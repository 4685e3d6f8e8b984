"""Give the request for a SageMaker job the types that boto3 wants."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


def typed(request: Any, shape: Shape) -> Any:
    """
    Return a request with the numbers and truth values that its shape asks for, where a template has left text.

    :param request: as boto3's create method takes it, or a part of it.
    :param shape: botocore's model of it.
    """
    if isinstance(shape, StructureShape) and isinstance(request, dict):
        members = shape.members
        return {key: typed(part, members[key]) if key in members else part for key, part in request.items()}
    if isinstance(shape, MapShape) and isinstance(request, dict):
        return {key: typed(part, shape.value) for key, part in request.items()}
    if isinstance(shape, ListShape) and isinstance(request, list):
        return [typed(part, shape.member) for part in request]
    if isinstance(request, str):
        try:
            if shape.type_name in ("integer", "long"):
                return int(request)
            if shape.type_name in ("float", "double"):
                return float(request)
        except ValueError:
            return request  # boto3 says what is wrong with it
        if shape.type_name == "boolean":
            return {"true": True, "false": False}.get(request.lower(), request)
    return request
