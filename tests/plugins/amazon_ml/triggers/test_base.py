"""What all triggers do alike that fire once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from amazon_ml.triggers import base


class Waiting(base.AwsWaitTrigger):
    """Waits for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(serialized_fields={"seconds": seconds})
        self.seconds = seconds

    async def wait(self) -> dict[str, Any]:
        await asyncio.sleep(self.seconds)
        return {"waited": self.seconds}


async def events(trigger: base.AwsWaitTrigger) -> list[dict[str, Any]]:
    return [event.payload async for event in trigger.run()]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is slept, in a trigger that has to wait for half a second at least."""
    monkeypatch.setattr(base, "SHORTEST_DEFERRAL_SECONDS", 0.5)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(pause: float) -> None:
        pauses.append(pause)
        await sleep(pause)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return pauses


def test_it_does_not_fire_before_airflow_can_know_that_the_task_is_deferred() -> None:
    began = time.monotonic()
    assert asyncio.run(events(Waiting(0))) == [{"waited": 0}]
    assert time.monotonic() - began >= 0.5


def test_after_a_longer_wait_it_fires_at_once(pauses: list[float]) -> None:
    assert asyncio.run(events(Waiting(0.6))) == [{"waited": 0.6}]
    assert pauses == [0.6, 0]
