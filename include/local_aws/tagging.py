"""The reach into moto's Resource Groups Tagging API: empty last tokens, and unknown ARNs that are listed as failed."""

from typing import Any

from moto.core.exceptions import ServiceException
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend
from werkzeug.wrappers import Request, Response

_tag_by_moto = ResourceGroupsTaggingAPIBackend.tag_resources
_get_by_moto = ResourceGroupsTaggingAPIBackend.get_resources


class Tagging:
    """The Resource Groups Tagging API, which moto answers."""

    def __init__(self) -> None:
        ResourceGroupsTaggingAPIBackend.tag_resources = _tag_resources  # type: ignore[method-assign, assignment]
        ResourceGroupsTaggingAPIBackend.get_resources = _get_resources  # type: ignore[method-assign, assignment]

    def respond(self, request: Request) -> Response | None:
        """Leave every request to moto."""
        return None

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""


def _get_resources(backend: ResourceGroupsTaggingAPIBackend, *arguments: Any, **members: Any) -> Any:
    token, resources = _get_by_moto(backend, *arguments, **members)
    return token or "", resources


def _tag_resources(
    backend: ResourceGroupsTaggingAPIBackend, resource_arns: list[str], tags: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Tag resources one by one; moto fails at one that does not exist, which AWS lists as failed."""
    failed: dict[str, dict[str, Any]] = {}
    for arn in resource_arns:
        try:
            failed |= _tag_by_moto(backend, [arn], tags)
        except (AttributeError, LookupError, ServiceException):
            failed[arn] = {
                "StatusCode": 400,
                "ErrorCode": "InvalidParameterException",
                "ErrorMessage": f"The resource {arn} does not exist.",
            }
    return failed
