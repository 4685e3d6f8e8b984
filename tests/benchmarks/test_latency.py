"""Measurement and comparison of latencies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.latency import Round, compare, measure


def test_every_photo_is_sent_alone_and_in_full_batches() -> None:
    alone: list[list[bytes]] = []
    together: list[list[bytes]] = []
    bodies = [bytes([number]) for number in range(10)]
    measured = measure(bodies, alone.append, together.append)
    assert alone == [[body] for body in bodies]
    assert [len(batch) for batch in together] == [8, 8]
    assert set(together[1]) == {bodies[8], bodies[9]}
    assert (len(measured.single), len(measured.batch)) == (10, 2)


def test_two_ways_alternate_and_all_rounds_are_used() -> None:
    turns: list[str] = []

    def way(name: str, rounds: Iterator[Round]) -> Round:
        turns.append(name)
        return next(rounds)

    ours = iter([Round([0.001, 0.002], [0.5]), Round([0.003], [0.5])])
    theirs = iter([Round([0.004, 0.004], [2.0]), Round([0.004], [2.0])])
    p50, p99, batch = compare("serve", "peer", lambda: way("ours", ours), lambda: way("theirs", theirs), 2)
    assert turns == ["ours", "theirs", "ours", "theirs"]
    assert (p50.ours, p50.peer, p50.ratio) == (2.0, 4.0, 2.0)
    assert p99.ours == pytest.approx(2.98)
    assert (batch.ours, batch.peer, batch.ratio, batch.unit) == (16.0, 4.0, 4.0, "images/s")
