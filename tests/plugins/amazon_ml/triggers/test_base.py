"""What all triggers that ask AWS again and again do alike."""

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


@pytest.mark.parametrize("seconds", [pytest.param(0, id="at once"), pytest.param(0.6, id="later")])
def test_it_fires_once_and_never_before_airflow_can_know_that_the_task_is_deferred(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SHORTEST_DEFERRAL_SECONDS", 0.5)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(pause: float) -> None:
        pauses.append(pause)
        await sleep(pause)

    monkeypatch.setattr(asyncio, "sleep", noted)
    began = time.monotonic()
    assert asyncio.run(events(Waiting(seconds))) == [{"waited": seconds}]
    assert time.monotonic() - began >= 0.5
    waited, pause = pauses
    assert waited == seconds
    assert pause == 0 if seconds else pause > 0.4
