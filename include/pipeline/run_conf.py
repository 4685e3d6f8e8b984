"""Whether the conf that a run was triggered with is one that its DAG understands."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from include.pipeline.errors import PermanentError

TYPES = {"boolean": bool, "integer": int, "string": str}
"""What a value is in Python, by its type in a param's schema. JSON schema takes 2.0 for an integer, AWS does not."""


class RunConfError(PermanentError):
    """A conf with a key or a value that no param takes; the message names it, and what is meant instead."""


def check(conf: Mapping[str, Any] | None, schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """See that each key of a conf is a param, with a value of its type.

    :param schemas: the JSON schema of each param.
    :raises RunConfError: if a key or a value is not.
    """
    for key, value in (conf or {}).items():
        if key not in schemas:
            close = difflib.get_close_matches(key, schemas, n=1)
            meant = f"Did you mean {close[0]}? " if close else ""
            raise RunConfError(
                f"{_brief(key)} is not a param of this DAG. {meant}Start a run with no others than "
                f"{', '.join(schemas)}."
            )
        expected = TYPES.get(str(schemas[key].get("type")))
        if expected and type(value) is not expected:
            raise RunConfError(
                f"{key} is {_brief(value)}, which is not of the type {schemas[key]['type']}. "
                f"Start a run with a value such as {_example(value, expected)}."
            )


def _brief(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _example(value: Any, expected: type) -> str:
    if expected is int and isinstance(value, float) and value.is_integer():
        return str(int(value))
    return {bool: "true", int: "1", str: '"text"'}[expected]
