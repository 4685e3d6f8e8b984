"""Compare the request for a SageMaker resource with the description of the existing resource of the same name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from include.aws.documents import AwsAnswer, AwsRequest

# Members that a description does not include.
NOT_DESCRIBED = frozenset({"Tags", "SessionChainingConfig"})
# Members that may change after a job has ended, for example when a teardown ends its warm pool. They do not affect
# what the job does.
CHANGED_LATER = frozenset({"KeepAlivePeriodInSeconds"})
# Maps with keys that the caller chooses. SageMaker adds only keys with this prefix, such as _tuning_objective_metric.
CALLERS_MAPS = frozenset({"HyperParameters", "StaticHyperParameters", "Environment"})
SAGEMAKER_PREFIX = "_"
# Members for which SageMaker has no default. If only the description has one of them, the two differ.
NEVER_FILLED_IN = frozenset(
    {
        "AsyncInferenceConfig",
        "CategoricalParameterRanges",
        "CheckpointConfig",
        "ContainerArguments",
        "ContainerEntrypoint",
        "ContinuousParameterRanges",
        "DataCaptureConfig",
        "InputDataConfig",
        "IntegerParameterRanges",
        "ProcessingInputs",
        "ProcessingOutputConfig",
        "ShadowProductionVariants",
        "VpcConfig",
        "WarmStartConfig",
        *CALLERS_MAPS,
    }
)
# Lists to which SageMaker adds elements, such as the metrics of its built-in algorithms.
EXTENDED_LISTS = frozenset({"MetricDefinitions"})
UNORDERED_LISTS = frozenset({"SecurityGroupIds", "Subnets"})
ELEMENT_NAMES = (
    "ChannelName",
    "DefinitionName",
    "InputName",
    "OutputName",
    "Name",
    "InstanceGroupName",
    "VariantName",
)
LONGEST_VALUE = 200


def differences(request: AwsRequest, description: AwsAnswer, *, name_key: str) -> list[str]:
    """
    Return the members in which an existing job, model or configuration differs from a request.

    The name, the tags and the keep-alive period of a warm pool are ignored, as is everything that SageMaker adds:
    defaults, state and results. Numbers and booleans may be text. Lists of named elements may be in any order.

    :param request: The parameters of boto3's create method.
    :param description: The response of boto3's describe method.
    :param name_key: The member that holds the name.
    :return: One line for each difference, such as ``ResourceConfig.InstanceCount: requested 2, found 1``.
    """
    ignored = NOT_DESCRIBED | {name_key}
    wanted = {key: value for key, value in request.items() if key not in ignored}
    return list(_compare_members(wanted, description, ""))


def _compare(wanted: Any, found: Any, where: str, key: str) -> Iterator[str]:
    if _is_empty(wanted) and _is_empty(found):
        return
    if key in CALLERS_MAPS:
        wanted, found = wanted or {}, found or {}
        for name in sorted(wanted.keys() | found.keys()):
            if name not in wanted and name.startswith(SAGEMAKER_PREFIX):
                continue
            yield from _compare_values(wanted.get(name), found.get(name), f"{where}.{name}")
    elif isinstance(wanted, dict) and isinstance(found, dict):
        yield from _compare_members(wanted, found, f"{where}.")
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _compare_lists(wanted, found, where, key)
    else:
        yield from _compare_values(wanted, found, where)


def _compare_members(wanted: AwsRequest, found: AwsAnswer, prefix: str) -> Iterator[str]:
    for key in sorted((wanted.keys() | (found.keys() & NEVER_FILLED_IN)) - CHANGED_LATER):
        yield from _compare(wanted.get(key), found.get(key), f"{prefix}{key}", key)


def _compare_lists(wanted: list[Any], found: list[Any], where: str, key: str) -> Iterator[str]:
    name_key = next(
        (name for name in ELEMENT_NAMES if all(_has(name, item) for item in wanted + found)), None
    )
    if name_key:
        existing = {item[name_key]: item for item in found}
        requested = {item[name_key]: item for item in wanted}
        for name in sorted(requested.keys() | (set() if key in EXTENDED_LISTS else existing.keys())):
            yield from _compare(requested.get(name), existing.get(name), f"{where}[{name}]", "")
    elif key in UNORDERED_LISTS:
        if Counter(wanted) != Counter(found):
            yield _line(where, wanted, found)
    elif len(wanted) != len(found):
        yield _line(where, wanted, found)
    else:
        for position, (wanted_item, found_item) in enumerate(zip(wanted, found, strict=True)):
            yield from _compare(wanted_item, found_item, f"{where}[{position}]", "")


def _compare_values(wanted: Any, found: Any, where: str) -> Iterator[str]:
    if wanted == found or _plain(wanted) == _plain(found):
        return
    if isinstance(wanted, float) and isinstance(found, float) and math.isclose(wanted, found, rel_tol=1e-6):
        return  # SageMaker stores weights as single-precision floats
    yield _line(where, wanted, found)


def _has(name: str, item: Any) -> bool:
    return isinstance(item, dict) and name in item


def _is_empty(value: Any) -> bool:
    """Return whether a value is equivalent to no value. SageMaker omits some of these and fills in others."""
    if isinstance(value, dict):
        return all(_is_empty(member) for member in value.values())
    return not value or value in ("None", "false", "False")


def _plain(value: Any) -> Any:
    """Return a number for text that holds a number, and text for a boolean."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float | str):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return str(value).lower() if value in ("True", "False") else value


def _line(where: str, wanted: Any, found: Any) -> str:
    return f"{where}: requested {_shown(wanted)}, found {_shown(found)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
