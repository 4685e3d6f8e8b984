"""Let a trigger use a synchronous client."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook


class Asynchronous:
    """A synchronous client, with asynchronous methods."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, operation: str) -> Any:
        async def call(**arguments: Any) -> Any:
            return getattr(self.client, operation)(**arguments)

        return call

    async def __aenter__(self) -> Asynchronous:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def connect_triggers(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    """Let all triggers poll with a client."""

    async def get_async_conn(hook: Any) -> Asynchronous:
        return Asynchronous(client)

    monkeypatch.setattr(AwsGenericHook, "get_async_conn", get_async_conn)
