"""Progress: what a line says, and that it is said seldom."""

from __future__ import annotations

import pytest

from include.pipeline.data import progress
from include.pipeline.data.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_tells_items_bytes_rate_and_time_left(clock: list[float]) -> None:
    lines: list[str] = []
    told = Progress("Sent", 4_000, 8_000_000, lines.append)
    clock[0] += 10
    told.advance(1_000, 2_000_000)
    assert lines == ["Sent 1,000 of 4,000 images, 2.0 of 8.0 MB, 100 a second, 0.2 MB/s, 30 s left."]


def test_lines_are_seconds_apart(clock: list[float]) -> None:
    lines: list[str] = []
    told = Progress("Checked", 100, None, lines.append)
    for _ in range(100):
        clock[0] += 0.125
        told.advance(1, 0)
    told.finish()
    assert lines == [
        "Checked 40 of 100 images, 8 a second, 8 s left.",
        "Checked 80 of 100 images, 8 a second, 2 s left.",
        "Checked 100 of 100 images, 8 a second.",
    ]


def test_of_a_download_only_bytes_are_told(clock: list[float]) -> None:
    lines: list[str] = []
    told = Progress("Downloaded", None, None, lines.append)
    clock[0] += 2
    told.advance(0, 4_000_000)
    told.finish()
    assert lines == ["Downloaded 4.0 MB, 2.0 MB/s."]
