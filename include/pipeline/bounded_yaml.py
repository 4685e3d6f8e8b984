"""Read small YAML files, with limits for size, depth and aliases, and strict checks of keys and characters."""

from __future__ import annotations

import stat
import unicodedata
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 100_000
MAX_DEPTH = 20
# Aliases count as their expanded values, so that a few lines can't expand to millions of values.
MAX_VALUES = 10_000


def load(path: Path) -> Any:
    """Return the content of a file with one YAML document.

    :raises ValueError: if the path is not a regular file, the file is too large, or it is not YAML within the limits.
    :raises OSError: if the file can't be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    try:
        return yaml.load(content.decode(), Loader=_BoundedLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ValueError(f"line {mark.line + 1 if mark else 1}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, RecursionError) as error:
        # The constructors of numbers and dates raise various exceptions.
        raise ValueError(str(error)) from error


class _BoundedLoader(yaml.SafeLoader):
    """A SafeLoader that refuses content that no settings file needs."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._values = 0
        self._values_of_anchor: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth >= MAX_DEPTH:
            raise _refused(event, f"more than {MAX_DEPTH} levels are nested; use fewer levels")
        before = self._values
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._values_of_anchor:
                raise _refused(event, f"*{event.anchor} refers to itself; write the value instead")
            self._values += self._values_of_anchor.get(str(event.anchor), 1)
        else:
            self._values += 1
        if self._values > MAX_VALUES:
            raise _refused(event, f"the file has more than {MAX_VALUES:,} values, including expanded aliases")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._values_of_anchor[event.anchor] = self._values - before
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)
        # An escape such as "\ud800" produces a character that neither JSON nor a database accepts.
        wrong = [
            letter
            for letter in node.value
            if letter not in "\t\n\r" and unicodedata.category(letter) in ("Cc", "Cs")
        ]
        if wrong:
            raise _refused(node, f"the text contains the character {wrong[0]!a}; delete it")
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(key, "a key is not a string; write 'key: value'")
            if key.value in keys:
                raise _refused(key, f"the key {key.value} is duplicated; delete one of the two")
            keys.add(key.value)
        return node


def _refused(where: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)
