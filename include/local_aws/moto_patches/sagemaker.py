"""SageMaker and Application Auto Scaling: list the resources of local AWS, number versions and pages."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.resource_tagging import TaggedResource
from moto.sagemaker.models import ModelPackage, SageMakerModelBackend, sagemaker_backends

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.moto_patches import original, replace

_scalable_targets_by_moto = original(ApplicationAutoScalingResponse, "describe_scalable_targets")
_tagged_by_moto = original(SageMakerModelBackend, "iter_tagged_resources")
_initialize_by_moto = original(ModelPackage, "__init__")


_resources: dict[str, Callable[[], Iterable[TaggedResource]]] = {}


def apply() -> None:
    """Replace the methods."""
    replace(ApplicationAutoScalingResponse, "describe_scalable_targets", _describe_scalable_targets)
    replace(SageMakerModelBackend, "iter_tagged_resources", _iter_tagged_resources)
    replace(ModelPackage, "__init__", _initialize)


def list_in_tagging_api(region: str, resources: Callable[[], Iterable[TaggedResource]]) -> None:
    """List resources in the Resource Groups Tagging API, in addition to those of moto."""
    _resources[region] = resources
    # The API reads only backends that exist, and moto creates one with its first request.
    sagemaker_backends[ACCOUNT_ID][region]


def last_versions(backend: SageMakerModelBackend) -> dict[str, int]:
    """Return the highest version that each model package group has had."""
    last: dict[str, int] = backend.__dict__.setdefault("last_model_package_versions", {})
    return last


def _describe_scalable_targets(response: ApplicationAutoScalingResponse) -> str:
    """Return a different token with each page; moto repeats the first one."""
    answer: dict[str, Any] = json.loads(_scalable_targets_by_moto(response))
    if answer["NextToken"] is None:
        del answer["NextToken"]
    else:
        token = response._get_param("NextToken")
        start = int(token) + 1 if token else 0
        answer["NextToken"] = str(start + len(answer["ScalableTargets"]) - 1)
    return json.dumps(answer)


def _iter_tagged_resources(backend: SageMakerModelBackend) -> Iterator[TaggedResource]:
    yield from _tagged_by_moto(backend)
    if backend.account_id == ACCOUNT_ID and backend.region_name in _resources:
        yield from _resources[backend.region_name]()


def _initialize(package: ModelPackage, **members: Any) -> None:
    """Number a version one above the highest that the group has had; moto counts the versions that exist."""
    group = members["model_package_group_name"]
    if group is not None:
        backend = sagemaker_backends[str(members["account_id"])][str(members["region_name"])]
        versions = last_versions(backend)
        members["model_package_version"] = versions[str(group)] = versions.get(str(group), 0) + 1
    _initialize_by_moto(package, **members)
