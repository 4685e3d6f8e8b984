"""The table of ratios, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One comparison. A ratio above 1 means that ours is better."""

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float


def faster(name: str, ours: float, peer: float, peer_name: str, unit: str) -> Result:
    """Return a comparison in which higher values are better."""
    return Result(name, ours, peer, peer_name, unit, ours / peer)


def cheaper(name: str, ours: float, peer: float, peer_name: str, unit: str) -> Result:
    """Return a comparison in which lower values are better."""
    return Result(name, ours, peer, peer_name, unit, peer / ours)


def as_table(results: Sequence[Result]) -> str:
    head = ("what", "ours", "peer", "", "unit", "ratio")
    rows = [
        (r.name, f"{r.ours:,.2f}", f"{r.peer:,.2f}", r.peer_name, r.unit, f"{r.ratio:.2f}") for r in results
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in [head, *rows]
    )


def write(results: Sequence[Result], path: Path) -> None:
    path.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", encoding="utf-8")
