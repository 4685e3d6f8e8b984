"""Splits the time of training steps into data, forward and backward, on a CPU or a GPU."""

import time
from typing import Any, Literal

import torch

from .history import Seconds

Part = Literal["data", "forward", "backward"]
PARTS: tuple[Part, ...] = ("data", "forward", "backward")


class StepClock:
    """A stopwatch for the steps of one epoch.

    A CPU queues work for a GPU without waiting for it, so its own clock says nothing about the GPU, and
    waiting in every step would slow the training down. There each mark is a CUDA event on the GPU's own
    timeline, read when the epoch is over; "data" is then how long the GPU waited for a batch and its copy.

    :param before: what a job that was interrupted in this epoch had spent on it.
    """

    def __init__(self, device: torch.device, before: Seconds | None = None) -> None:
        self._on_gpu = device.type == "cuda"
        before = before or Seconds()
        self._spent: dict[Part, float] = {part: getattr(before, part) for part in PARTS}
        self._laps: list[tuple[Part, torch.cuda.Event, torch.cuda.Event]] = []
        self._began = time.perf_counter() - before.total
        self.start()

    def start(self) -> None:
        """Begin the first lap."""
        self._mark = self._now()

    def lap(self, part: Part) -> None:
        """End a lap, which was spent on this part, and begin the next."""
        start, self._mark = self._mark, self._now()
        if self._on_gpu:
            self._laps.append((part, start, self._mark))
        else:
            self._spent[part] += self._mark - start

    def seconds(self) -> Seconds:
        """Return where the time went since the clock was made; on a GPU, wait for it first."""
        if self._on_gpu:
            torch.cuda.synchronize()
            for part, start, end in self._laps:
                self._spent[part] += start.elapsed_time(end) / 1000  # which is in milliseconds
            self._laps.clear()
        passed = time.perf_counter() - self._began
        return Seconds(**self._spent, other=max(0.0, passed - sum(self._spent.values())))

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
