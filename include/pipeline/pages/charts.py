"""Draw the charts of the pages with matplotlib, as SVG in a light and a dark version.

Importing matplotlib takes a second. Import this module inside tasks only.
"""

from __future__ import annotations

import base64
import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from include.pipeline.pages.documents import Chart

WIDTH, HEIGHT = 440, 290
PIXELS_PER_INCH = 96
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("solid", "dashed", "dotted", "dashdot")
NAMED_CLASSES = 20
"""A confusion matrix has names and counts for up to this number of classes."""
LABEL_LENGTH = 24


@dataclass(frozen=True)
class Theme:
    """The colors of a chart, as in the stylesheet. The colors in ``series`` are distinguishable on ``paper``."""

    ink: str
    faint: str
    paper: str
    right: str
    wrong: str
    series: tuple[str, ...]

    def colors(self) -> tuple[str, ...]:
        return (self.ink, self.faint, self.paper, self.right, self.wrong, *self.series)


LIGHT = Theme(
    ink="#1f2733",
    faint="#c9d1dc",
    paper="#ffffff",
    right="#1f62c4",
    wrong="#c8324a",
    series=("#1f62c4", "#c2570c", "#18794e", "#6b7485", "#8b4fc6", "#0b7f8a", "#b3336f", "#806310"),
)
DARK = Theme(
    ink="#e4e9f1",
    faint="#3d4757",
    paper="#1a212c",
    right="#76aaf8",
    wrong="#f58095",
    series=("#76aaf8", "#f2a35c", "#5fcb95", "#a3adbd", "#c69bf5", "#5cc8d3", "#f08cba", "#d8bd62"),
)

Plot = Callable[[Axes, Theme], None]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    :param points: as (x, y), ordered by x.
    :param shares: the share of the total that each point represents, 0 to 1. It sets the size of the marker.
    """

    name: str
    points: Sequence[tuple[float, float]]
    shares: Sequence[float] | None = None


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot; the points of a group have the same marker and color."""

    x: float
    y: float
    group: str


def line_chart(
    alt: str,
    lines: Sequence[Line],
    x_name: str,
    y_name: str,
    *,
    unit_square: bool = False,
    top: float | None = None,
) -> Chart:
    """Draw lines over integers such as epochs, with a marker at each point.

    :param alt: the alternative text of the chart.
    :param unit_square: whether both axes range from 0 to 1, with a diagonal.
    :param top: the upper end of the y axis; by default a little above the highest point.
    """

    def plot(axes: Axes, theme: Theme) -> None:
        if unit_square:
            axes.plot((0, 1), (0, 1), color=theme.faint, linestyle=(0, (4, 4)), linewidth=1.5, zorder=1)
        for line, color, dash, marker in zip(lines, theme.series, DASHES, MARKERS, strict=False):
            x, y = [point[0] for point in line.points], [point[1] for point in line.points]
            sizes = [20 + 180 * share for share in line.shares] if line.shares else [20] * len(x)
            axes.plot(x, y, color=color, linestyle=dash, linewidth=2)
            axes.scatter(x, y, sizes, color=color, marker=marker, label=line.name, zorder=3)
        if unit_square:
            axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
            axes.xaxis.set_major_formatter(FuncFormatter(_number))
        else:
            _whole_numbers(axes, [point[0] for line in lines for point in line.points])
            highest = max((point[1] for line in lines for point in line.points), default=0.0)
            axes.set_ylim(0, (top or highest or 1) * 1.05)
        _finish(axes, x_name, y_name)
        _legend(axes, len(lines))

    return _draw(plot, alt)


def stacked_columns(
    alt: str, parts: Sequence[str], columns: Sequence[Sequence[float]], x_name: str, y_name: str
) -> Chart:
    """Draw stacked columns at 1, 2, 3, ..., with a section for each part.

    :param columns: the size of each part, for each column.
    """

    def plot(axes: Axes, theme: Theme) -> None:
        numbers = range(1, len(columns) + 1)
        below = np.zeros(len(columns))
        for number, (name, color) in enumerate(zip(parts, theme.series, strict=False)):
            sizes = np.array([column[number] for column in columns])
            axes.bar(numbers, sizes, bottom=below, color=color, width=0.7, label=name)
            below += sizes
        _whole_numbers(axes, list(numbers))
        _finish(axes, x_name, y_name)
        _legend(axes, len(parts))

    return _draw(plot, alt)


def scatter_chart(alt: str, points: Sequence[Point], x_name: str, y_name: str, group_name: str) -> Chart:
    """Draw points over a logarithmic x axis, with a ring around the first one."""

    def plot(axes: Axes, theme: Theme) -> None:
        groups = list(dict.fromkeys(point.group for point in points))
        for number, group in enumerate(groups):
            members = [point for point in points if point.group == group]
            axes.scatter(
                [point.x for point in members],
                [point.y for point in members],
                60,
                color=theme.series[number % len(theme.series)],
                marker=MARKERS[number % len(MARKERS)],
                label=f"{group_name} {group}",
                zorder=3,
            )
        best = points[0]
        axes.scatter(
            [best.x], [best.y], 260, facecolors="none", edgecolors=theme.ink, linewidths=1.5, zorder=4
        )
        _logarithmic(axes, [point.x for point in points])
        axes.set_ylim(*_padded([point.y for point in points]))
        _finish(axes, x_name, y_name)
        _legend(axes, len(groups))

    return _draw(plot, alt)


def confusion_chart(alt: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Chart:
    """Draw a confusion matrix: one row for each true class, one column for each predicted class.

    A stronger color means a larger share of the row. With up to 20 classes, it has names and counts.
    """
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    named = len(labels) <= NAMED_CLASSES

    def plot(axes: Axes, theme: Theme) -> None:
        cells = np.zeros((*counts.shape, 4))
        for color, where in (
            (theme.wrong, ~np.eye(len(counts), dtype=bool)),
            (theme.right, np.eye(len(counts), dtype=bool)),
        ):
            cells[where, :3] = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        cells[..., 3] = np.where(counts > 0, 0.15 + 0.85 * shares, 0)
        axes.imshow(cells, interpolation="none")
        axes.set(xlabel="Predicted class", ylabel="True class")
        if not named:
            axes.xaxis.set_major_locator(NullLocator())
            axes.yaxis.set_major_locator(NullLocator())
            return
        names = [_shortened(label) for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=50, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), names)
        for row, column in np.argwhere(counts > 0):
            color = theme.paper if shares[row, column] > 0.4 else theme.ink
            axes.text(column, row, str(counts[row, column]), color=color, ha="center", va="center")

    side = max(320, 150 + 36 * len(labels)) if named else 520
    # The cells are a picture, whose colors can't be replaced.
    light, dark = (_svg(plot, theme, side, side) for theme in (LIGHT, DARK))
    return _chart(light, dark, alt, side, side)


def _draw(plot: Plot, alt: str, width: int = WIDTH, height: int = HEIGHT) -> Chart:
    """Draw in the light theme's colors, and replace these for the dark version: drawing takes a tenth of a second."""
    light = _svg(plot, LIGHT, width, height)
    return _chart(light, _dark(light), alt, width, height)


def _dark(light: str) -> str:
    colors = dict(zip(LIGHT.colors(), DARK.colors(), strict=True))
    # Not in the text between tags: a class may be named like a color.
    return re.sub(
        "<[^>]+>", lambda tag: re.sub("#[0-9a-f]{6}", lambda color: colors[color[0]], tag[0]), light
    )


def _chart(light: str, dark: str, alt: str, width: int, height: int) -> Chart:
    uris = [f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" for svg in (light, dark)]
    return Chart(light=uris[0], dark=uris[1], alt=alt, width=width, height=height)


def _svg(plot: Plot, theme: Theme, width: int, height: int) -> str:
    """Return a chart as SVG. Equal input gives an equal result."""
    settings: Any = {
        "axes.edgecolor": theme.faint,
        "axes.labelcolor": theme.ink,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
        "font.size": 9,
        "grid.color": theme.faint,
        "grid.linewidth": 0.6,
        "svg.fonttype": "none",  # the browser's fonts support more scripts
        "svg.hashsalt": "page",
        "text.color": theme.ink,
        "text.parse_math": False,  # a class may be named $1$
        "xtick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.color": theme.faint,
        "ytick.labelcolor": theme.ink,
    }
    file = io.StringIO()
    with rc_context(settings), warnings.catch_warnings():
        # Only the font for measuring text lacks the glyph. The browser uses its own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure((width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), layout="constrained")
        plot(figure.subplots(), theme)
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    return file.getvalue()


def _finish(axes: Axes, x_name: str, y_name: str) -> None:
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(_number))
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _legend(axes: Axes, entries: int) -> None:
    """Place the legend above the axes, where it covers nothing."""
    if entries:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(entries, 4), frameon=False, borderaxespad=0.2
        )


def _whole_numbers(axes: Axes, values: Sequence[float]) -> None:
    first, last = (min(values), max(values)) if values else (1, 1)
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Make the x axis logarithmic, with ticks at round numbers even if the values are close together."""
    low, high = min(values) / 2, max(values) * 2
    decades = math.log10(high / low)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,), numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_number))


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """Return a non-empty range around the values."""
    low, high = min(values), max(values)
    margin = (high - low) / 8 or abs(high) / 10 or 1.0
    return low - margin, high + margin


def _number(value: float, position: int | None = None) -> str:
    return f"{round(value, 12):g}"


def _shortened(label: str) -> str:
    return label if len(label) <= LABEL_LENGTH else f"{label[: LABEL_LENGTH - 1]}\N{HORIZONTAL ELLIPSIS}"
