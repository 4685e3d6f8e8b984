"""Compare the request for something in SageMaker with the description of what exists under its name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

# What a description does not show.
NOT_DESCRIBED = frozenset({"Tags", "SessionChainingConfig"})
# What is changed after a job has ended, as by a teardown that ends its warm pool, and is no part of what it does.
CHANGED_LATER = frozenset({"KeepAlivePeriodInSeconds"})
# Maps with keys of the caller's own, to which SageMaker adds nothing but keys of this prefix, such as
# _tuning_objective_metric.
CALLERS_MAPS = frozenset({"HyperParameters", "StaticHyperParameters", "Environment"})
SAGEMAKER_PREFIX = "_"
# What SageMaker never fills in by itself: where only the description has it, the two differ.
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
# Lists to which SageMaker adds elements: the metrics of its built-in algorithms.
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


def differences(request: dict[str, Any], description: dict[str, Any], *, name_key: str) -> list[str]:
    """
    Return in which members a job, model or configuration that exists is not what a request asks for.

    The name and the tags do not count, nor how long a warm pool is kept, nor what SageMaker has added: its defaults,
    the state and the results. Numbers and truth values may be given as text, and lists of named elements in any order.

    :param request: as boto3's create method takes it.
    :param description: as boto3's describe method gives it.
    :param name_key: the member with the name.
    :return: one line each, such as ``ResourceConfig.InstanceCount: asked for 2, there is 1``.
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


def _compare_members(wanted: dict[str, Any], found: dict[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted((wanted.keys() | (found.keys() & NEVER_FILLED_IN)) - CHANGED_LATER):
        yield from _compare(wanted.get(key), found.get(key), f"{prefix}{key}", key)


def _compare_lists(wanted: list[Any], found: list[Any], where: str, key: str) -> Iterator[str]:
    name_key = next(
        (name for name in ELEMENT_NAMES if all(_has(name, item) for item in wanted + found)), None
    )
    if name_key:
        there = {item[name_key]: item for item in found}
        asked = {item[name_key]: item for item in wanted}
        for name in sorted(asked.keys() | (set() if key in EXTENDED_LISTS else there.keys())):
            yield from _compare(asked.get(name), there.get(name), f"{where}[{name}]", "")
    elif key in UNORDERED_LISTS:
        if Counter(wanted) != Counter(found):
            yield _line(where, wanted, found)
    elif len(wanted) != len(found):
        yield _line(where, wanted, found)
    else:
        for position, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _compare(one, other, f"{where}[{position}]", "")


def _compare_values(wanted: Any, found: Any, where: str) -> Iterator[str]:
    if wanted == found or _plain(wanted) == _plain(found):
        return
    if isinstance(wanted, float) and isinstance(found, float) and math.isclose(wanted, found, rel_tol=1e-6):
        return  # SageMaker keeps weights as single-precision floats
    yield _line(where, wanted, found)


def _has(name: str, item: Any) -> bool:
    return isinstance(item, dict) and name in item


def _is_empty(value: Any) -> bool:
    """Whether a value says as much as none: SageMaker leaves out some of those, and fills in others."""
    if isinstance(value, dict):
        return all(_is_empty(member) for member in value.values())
    return not value or value in ("None", "false", "False")


def _plain(value: Any) -> Any:
    """Return a number for the text of one, and text for a truth value."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float | str):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return str(value).lower() if value in ("True", "False") else value


def _line(where: str, wanted: Any, found: Any) -> str:
    return f"{where}: asked for {_shown(wanted)}, there is {_shown(found)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
