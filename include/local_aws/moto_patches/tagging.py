"""Resource Groups Tagging API: empty last tokens, unknown ARNs listed as failed, and an index that may lag."""

from collections.abc import Callable, Iterator
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.resource_tagging import TaggedResource
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.moto_patches import original, replace

Find = Callable[..., list[TaggedResource]]

list_by_moto = original(ResourceGroupsTaggingAPIBackend, "_get_resources_generator")
_tag_by_moto = original(ResourceGroupsTaggingAPIBackend, "tag_resources")
_get_by_moto = original(ResourceGroupsTaggingAPIBackend, "get_resources")
_indexes: dict[str, Find] = {}


def apply() -> None:
    """Replace the methods."""
    replace(ResourceGroupsTaggingAPIBackend, "tag_resources", _tag_resources)
    replace(ResourceGroupsTaggingAPIBackend, "get_resources", _get_resources)
    replace(ResourceGroupsTaggingAPIBackend, "_get_resources_generator", _list_resources)


def use_index(region: str, find: Find) -> None:
    """Use a function for GetResources of a region, which returns the resources for the filters."""
    _indexes[region] = find


def _list_resources(
    backend: ResourceGroupsTaggingAPIBackend, *filters: Any, **named: Any
) -> Iterator[TaggedResource]:
    if backend.account_id == ACCOUNT_ID and backend.region_name in _indexes:
        return iter(_indexes[backend.region_name](*filters, **named))
    return list_by_moto(backend, *filters, **named)


def _get_resources(backend: ResourceGroupsTaggingAPIBackend, *arguments: Any, **members: Any) -> Any:
    token, resources = _get_by_moto(backend, *arguments, **members)
    return token or "", resources


def _tag_resources(
    backend: ResourceGroupsTaggingAPIBackend, resource_arns: list[str], tags: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Tag resources one by one; list those that do not exist as failed, where moto raises an error."""
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
