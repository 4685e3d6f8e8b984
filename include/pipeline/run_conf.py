"""Check the conf that a run was triggered with against the params of its DAG."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from include.pipeline.errors import PermanentError

TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "string": (str,),
}
"""Python types by the type in a param's schema. JSON Schema accepts 2.0 as an integer; AWS does not."""
EXAMPLES = {"boolean": "true", "integer": "1", "null": "null", "number": "1.5", "string": '"text"'}


class RunConfError(PermanentError):
    """Raised if a conf has a key or a value that no param accepts; the message names it, and what to use instead."""


def check(conf: Mapping[str, Any] | None, schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each key of a conf is a param, and that its value has the type of the param.

    :param schemas: the JSON Schema of each param.
    :raises RunConfError: if a key is not a param, or a value has another type.
    """
    for key, value in (conf or {}).items():
        if key not in schemas:
            close = difflib.get_close_matches(key, schemas, n=1)
            meant = f"Did you mean {close[0]}? " if close else ""
            raise RunConfError(
                f"{_brief(key)} is not a param of this DAG. {meant}Start a run with these params only: "
                f"{', '.join(schemas)}."
            )
        names = _type_names(schemas[key])
        if names and type(value) not in [python for name in names for python in TYPES[name]]:
            raise RunConfError(
                f"{key} is {_brief(value)}, which does not have the type {' or '.join(names)}. "
                f"Start a run with a value such as {_example(value, names)}."
            )


def _type_names(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema allows: its ``type``, or the type of the values in its ``enum``."""
    named = schema.get("type") or []
    if not named and all(type(value) is bool for value in schema.get("enum", [None])):
        named = "boolean"
    return [named] if isinstance(named, str) else list(named)


def _brief(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _example(value: Any, names: list[str]) -> str:
    name = next(name for name in names if name != "null")
    if name == "integer" and isinstance(value, float) and value.is_integer():
        return str(int(value))
    return EXAMPLES[name]
