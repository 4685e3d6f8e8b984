"""A context of a task for tests."""

from __future__ import annotations

from typing import Any


class Context:
    """The members of a task's context that links need."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Context:
        assert key == "ti"
        return self

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value
