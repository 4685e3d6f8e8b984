"""Measure the latency of predictions: one photo at a time, and batches of eight."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from benchmarks.results import Result, cheaper, faster

BATCH = 8

Body = TypeVar("Body")


class Round(NamedTuple):
    """The seconds of each single photo, and of each batch of eight."""

    single: list[float]
    batch: list[float]


def measure(
    bodies: Sequence[bytes], one: Callable[[list[bytes]], object], several: Callable[[list[bytes]], object]
) -> Round:
    """Send every photo alone, then all photos in batches; fill an incomplete last batch with its own photos."""
    batches = [list(bodies[start : start + BATCH]) for start in range(0, len(bodies), BATCH)]
    batches = [batch if len(batch) == BATCH else (batch * BATCH)[:BATCH] for batch in batches]
    return Round([timed(one, [body]) for body in bodies], [timed(several, batch) for batch in batches])


def compare(
    name: str, peer: str, ours: Callable[[], Round], theirs: Callable[[], Round], rounds: int
) -> list[Result]:
    """Run two ways alternately, and compare p50, p99 and the throughput of batches."""
    turns = [(ours(), theirs()) for _ in range(rounds)]
    mine, peers = (_joined(side) for side in zip(*turns, strict=True))
    results = [
        cheaper(
            f"{name}, one photo, p{percent}",
            _percentile(percent, mine),
            _percentile(percent, peers),
            peer,
            "ms",
        )
        for percent in (50, 99)
    ]
    speed, peers_speed = (BATCH / float(np.median(side.batch)) for side in (mine, peers))
    return [*results, faster(f"{name}, batch of {BATCH}", speed, peers_speed, peer, "images/s")]


def timed(work: Callable[[list[bytes]], object], bodies: list[bytes]) -> float:
    """Return the latency of a prediction in seconds."""
    begun = time.perf_counter()
    work(bodies)
    return time.perf_counter() - begun


def _joined(rounds: Sequence[Round]) -> Round:
    return Round(*([second for part in parts for second in part] for parts in zip(*rounds, strict=True)))


def _percentile(percent: int, side: Round) -> float:
    return 1000 * float(np.percentile(side.single, percent))
