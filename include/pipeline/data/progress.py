"""Says how long work goes on: items, bytes, rate and time left, a line every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 5


class Progress:
    """Counts what is done, from any thread.

    :param what: how each line begins, such as ``Sent``.
    :param total_items: how many items there are; None where only bytes count.
    :param total_bytes: how many bytes there are; None where that is not known.
    :param say: is told each line.
    """

    def __init__(
        self, what: str, total_items: int | None, total_bytes: int | None, say: Callable[[str], None]
    ) -> None:
        self._what, self._say = what, say
        self._total_items, self._total_bytes = total_items, total_bytes
        self._items = self._bytes = 0
        self._begun = self._told = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, items: int, size: int) -> None:
        with self._lock:
            self._items += items
            self._bytes += size
            now = time.monotonic()
            if now - self._told < SECONDS_BETWEEN_LINES:
                return
            self._told = now
            line = self._line(now)
        self._say(line)

    def finish(self) -> None:
        """Say the last line, with all that was done."""
        with self._lock:
            line = self._line(time.monotonic())
        self._say(line)

    def _line(self, now: float) -> str:
        seconds = max(now - self._begun, 1e-3)
        parts = []
        if self._total_items is not None:
            parts.append(f"{self._items:,} of {self._total_items:,} images")
        if self._bytes:
            total = f" of {self._total_bytes / 1e6:,.1f}" if self._total_bytes else ""
            parts.append(f"{self._bytes / 1e6:,.1f}{total} MB")
        if self._items:
            parts.append(f"{self._items / seconds:,.0f} a second")
        if self._bytes:
            parts.append(f"{self._bytes / seconds / 1e6:,.1f} MB/s")
        share = self._share()
        if 0 < share < 1:
            parts.append(f"{seconds / share - seconds:,.0f} s left")
        return f"{self._what} {', '.join(parts)}."

    def _share(self) -> float:
        if self._total_bytes and self._bytes:
            return self._bytes / self._total_bytes
        return self._items / self._total_items if self._total_items else 0.0
