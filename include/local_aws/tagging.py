"""The reach into moto's Resource Groups Tagging API: its last page has an empty token, not none."""

from typing import Any

from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend
from werkzeug.wrappers import Request, Response

_get_by_moto = ResourceGroupsTaggingAPIBackend.get_resources


class Tagging:
    """The Resource Groups Tagging API, which moto answers."""

    def __init__(self) -> None:
        ResourceGroupsTaggingAPIBackend.get_resources = _get_resources  # type: ignore[method-assign, assignment]

    def respond(self, request: Request) -> Response | None:
        """Leave every request to moto."""
        return None

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""


def _get_resources(backend: ResourceGroupsTaggingAPIBackend, *arguments: Any, **members: Any) -> Any:
    token, resources = _get_by_moto(backend, *arguments, **members)
    return token or "", resources
