"""Shows the trials of a tuning job: a table, the best first, and a plot of the objective by the learning rate."""

from __future__ import annotations

import html
import math
from typing import Any

from include.pipeline.page import table

LABELS = {"validation_loss": "Validation loss", "validation_accuracy": "Validation accuracy"}
COLOURS = ("#3b76c4", "#e0962b", "#4c9f70", "#c62f3e", "#8456b8", "#8a6d3b", "#2a9d9d", "#d16ba5")
WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 15, 45
STEPS = 4


def show(trials: list[dict[str, Any]], objective: str) -> str:
    """Table and plot as HTML; without a plot where fewer than two trials reported their objective.

    :param trials: ``name``, ``hyperparameters`` (``learning_rate`` and ``batch_size``, as text), ``objective`` (None
        where it was not reported) and ``status`` of each.
    :param objective: the key of ``LABELS`` by which trials are compared.
    """
    judged = [trial for trial in trials if trial["objective"] is not None]
    judged.sort(key=lambda trial: trial["objective"], reverse=objective == "validation_accuracy")
    rows = [
        (
            trial["name"],
            f"{_number(trial, 'learning_rate'):.3g}",
            f"{_number(trial, 'batch_size'):g}",
            "\N{EN DASH}" if trial["objective"] is None else f"{trial['objective']:.4f}",
            trial["status"],
        )
        for trial in [*judged, *(trial for trial in trials if trial["objective"] is None)]
    ]
    head = ["Trial", "Learning rate", "Batch size", LABELS[objective], "Status"]
    return table(head, rows) + (_plot(judged, objective) if len(judged) > 1 else "")


def _plot(judged: list[dict[str, Any]], objective: str) -> str:
    """One mark for each trial, coloured by its batch size; the first, the best, has a ring."""
    rates = [math.log10(_number(trial, "learning_rate")) for trial in judged]
    values = [float(trial["objective"]) for trial in judged]
    sizes = sorted({_number(trial, "batch_size") for trial in judged})
    colours = {size: COLOURS[number % len(COLOURS)] for number, size in enumerate(sizes)}
    (left, right), (low, high) = _padded(rates), _padded(values)

    def across(rate: float) -> float:
        return LEFT + (rate - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for step in range(STEPS + 1):
        rate, value = left + (right - left) * step / STEPS, low + (high - low) * step / STEPS
        x, y = across(rate), down(value)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#8884'/>")
        parts.append(f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{value:.3g}</text>")
        parts.append(
            f"<text x='{x:.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>{10**rate:.2g}</text>"
        )
    for number, (trial, rate, value) in enumerate(zip(judged, rates, values, strict=True)):
        size = _number(trial, "batch_size")
        if number == 0:
            parts.append(
                f"<circle cx='{across(rate):.1f}' cy='{down(value):.1f}' r='10' fill='none' stroke='currentColor'/>"
            )
        note = f"{trial['name']}: learning rate {10**rate:.3g}, batch size {size:g}, {value:.4f}"
        parts.append(
            f"<circle class='trial' cx='{across(rate):.1f}' cy='{down(value):.1f}' r='6' fill='{colours[size]}'>"
            f"<title>{html.escape(note)}</title></circle>"
        )
    parts.append(
        f"<text x='{(LEFT + WIDTH - RIGHT) / 2}' y='{HEIGHT - 6}' text-anchor='middle'>"
        "Learning rate (logarithmic)</text>"
    )
    legend = " ".join(
        f"<span style='color:{colour}'>\N{BLACK CIRCLE}</span> {size:g}" for size, colour in colours.items()
    )
    label = f"{LABELS[objective]} of each trial by its learning rate; the table above has the figures"
    return (
        f"<p>{LABELS[objective]} by learning rate. Batch size: {legend}. The ring marks the best.</p>"
        f"<svg role='img' aria-label='{label}' width='100%' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"font-size='12' fill='currentColor'>{''.join(parts)}</svg>"
    )


def _padded(numbers: list[float]) -> tuple[float, float]:
    """The range of the numbers and a twentieth more at both ends, never empty."""
    low, high = min(numbers), max(numbers)
    margin = (high - low) / 20 or abs(high) / 20 or 1.0
    return low - margin, high + margin


def _number(trial: dict[str, Any], name: str) -> float:
    return float(str(trial["hyperparameters"][name]).strip('"'))
