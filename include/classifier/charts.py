"""Draws small charts as inline SVG, for pages that must be whole in one file and without scripts.

Lines of text take the page's colour, so that a chart suits a light page and a dark one.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

BLUE, ORANGE, GREEN, GREY, RED = "#3b76c4", "#e0962b", "#4c9f70", "#8a8f98", "#c62f3e"
COLOURS = (BLUE, ORANGE, GREEN, GREY)
STYLE = (
    "svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:currentColor}"
    "svg .line{fill:none;stroke-width:2}svg .axis{stroke:currentColor;stroke-opacity:.4;fill:none}"
    "svg .grid{stroke:currentColor;stroke-opacity:.12}svg .end{text-anchor:end}svg .middle{text-anchor:middle}"
)
DASHES = ("none", "6 4", "2 3", "8 3 2 3")  # so that lines are told apart without colours too

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 44
LABEL_LENGTH = 24
LABELLED_CELL, LABEL_WIDTH = 36, 170
SMALL_MATRIX_SIDE = 560


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    :param points: as (x, y), ordered by x.
    :param shares: what part of the whole each point stands for, 0 to 1: its mark is the larger.
    """

    name: str
    points: Sequence[tuple[float, float]]
    shares: Sequence[float] | None = None


@dataclass(frozen=True)
class _Frame:
    """The axes of a chart: values within (low, high) become pixels within the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    parts: list[str] = field(default_factory=list)

    def left(self, x: float) -> float:
        return LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def top(self, y: float) -> float:
        return HEIGHT - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)

    def draw_axes(self, x_name: str, y_name: str, x_ticks: Sequence[float]) -> None:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for y in ticks(*self.y):
            self.parts.append(
                f"<path class='grid' d='M{LEFT} {self.top(y):.1f}H{right}'/>"
                f"<text class='end' x='{LEFT - 6}' y='{self.top(y) + 4:.1f}'>{y:g}</text>"
            )
        for x in x_ticks:
            self.parts.append(f"<text class='middle' x='{self.left(x):.1f}' y='{bottom + 16}'>{x:g}</text>")
        self.parts.append(
            f"<path class='axis' d='M{LEFT} {TOP}V{bottom}H{right}'/>"
            f"<text class='middle' x='{(LEFT + right) / 2}' y='{HEIGHT - 8}'>{html.escape(x_name)}</text>"
            f"<text class='middle' transform='translate(13 {(TOP + bottom) / 2}) rotate(-90)'>"
            f"{html.escape(y_name)}</text>"
        )

    def draw_legend(self, samples: Sequence[tuple[str, str]]) -> None:
        """Draw the names of what is shown, each with its sample: SVG of 24 x 12 pixels."""
        left = float(LEFT)
        for name, sample in samples:
            self.parts.append(
                f"<g transform='translate({left:.0f} 8)'>{sample}</g>"
                f"<text x='{left + 30:.0f}' y='18'>{html.escape(name)}</text>"
            )
            left += 50 + 7 * len(name)

    def svg(self, title: str) -> str:
        return _svg(title, WIDTH, HEIGHT, self.parts)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most so many round numbers from low to high, in steps of 1, 2 or 5 times a power of ten."""
    magnitude = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (magnitude * factor for factor in (1, 2, 5, 10)):
        # Rounding must not lose the ends: 3 * 0.1 is more than 0.3.
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def _whole_ticks(low: float, high: float) -> list[float]:
    return [tick for tick in ticks(low, high, most=10) if tick == int(tick)]


def line_chart(
    title: str,
    lines: Sequence[Line],
    x_name: str,
    y_name: str,
    *,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> str:
    """Draw lines with a mark at each point.

    :param title: what the chart shows, for those who cannot see it.
    :param x: the ends of the axis; those of the points unless given, which are then whole numbers.
    :param y: likewise; 0 to the highest value unless given.
    :param diagonal: draw the line on which y = x.
    """
    xs = [point[0] for line in lines for point in line.points]
    ys = [point[1] for line in lines for point in line.points]
    frame = _Frame(x or (min(xs), max(max(xs), min(xs) + 1)), y or (0, max(ys) * 1.05 or 1))
    frame.draw_axes(x_name, y_name, ticks(*frame.x) if x else _whole_ticks(*frame.x))
    if diagonal:
        low, high = max(frame.x[0], frame.y[0]), min(frame.x[1], frame.y[1])
        frame.parts.append(
            f"<path class='axis' stroke-dasharray='3 3' d='M{frame.left(low):.1f} {frame.top(low):.1f}"
            f"L{frame.left(high):.1f} {frame.top(high):.1f}'/>"
        )
    samples = []
    for line, colour, dash in zip(lines, COLOURS, DASHES, strict=False):
        pixels = [(frame.left(a), frame.top(b)) for a, b in line.points]
        stroke = f"class='line' stroke='{colour}' stroke-dasharray='{dash}'"
        frame.parts.append(f"<path {stroke} d='M{'L'.join(f'{a:.1f} {b:.1f}' for a, b in pixels)}'/>")
        radii = [2 + 6 * math.sqrt(share) for share in line.shares or [0.01] * len(pixels)]
        frame.parts.extend(
            f"<circle cx='{a:.1f}' cy='{b:.1f}' r='{radius:.1f}' fill='{colour}'/>"
            for (a, b), radius in zip(pixels, radii, strict=True)
        )
        samples.append((line.name, f"<path {stroke} d='M0 6H24'/>"))
    frame.draw_legend(samples)
    return frame.svg(title)


def stacked_columns(
    title: str, parts: Sequence[str], columns: Sequence[Sequence[float]], x_name: str, y_name: str
) -> str:
    """Draw a column for each of 1, 2, 3, ..., with a section for each of its parts.

    :param parts: the names of the parts, at most four.
    :param columns: the size of each part, for each column.
    """
    highest = max(sum(column) for column in columns)
    frame = _Frame((0.5, len(columns) + 0.5), (0, highest * 1.05 or 1))
    frame.draw_axes(x_name, y_name, _whole_ticks(*frame.x))
    width = (WIDTH - LEFT - RIGHT) / len(columns) * 0.8
    for number, column in enumerate(columns, start=1):
        below = 0.0
        for size, colour in zip(column, COLOURS, strict=False):
            top = frame.top(below + size)
            frame.parts.append(
                f"<rect x='{frame.left(number) - width / 2:.1f}' y='{top:.1f}' width='{width:.1f}' "
                f"height='{frame.top(below) - top:.1f}' fill='{colour}'/>"
            )
            below += size
    frame.draw_legend(
        [
            (name, f"<rect width='24' height='12' fill='{colour}'/>")
            for name, colour in zip(parts, COLOURS, strict=False)
        ]
    )
    return frame.svg(title)


def confusion_chart(title: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix as a heat map with names and counts: rows are the truth.

    The stronger the colour, the larger the share of the row: blue for right answers, red for wrong ones.
    """
    cell, left, top = LABELLED_CELL, LABEL_WIDTH, LABEL_WIDTH
    parts = [f"<g transform='translate({left} {top})'>", *_cells(matrix, labels, cell)]
    for number, label in enumerate(labels):
        middle, name = (number + 0.5) * cell, html.escape(_shortened(label))
        parts.append(f"<text class='end' x='-8' y='{middle + 4}'>{name}</text>")
        parts.append(f"<text transform='translate({middle + 4} -8) rotate(-60)'>{name}</text>")
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            if count:
                x, y = (column + 0.5) * cell, (row + 0.5) * cell + 4
                parts.append(f"<text class='middle' x='{x}' y='{y}'>{count}</text>")
    side = cell * len(matrix)
    # The last column's slanted name needs room on the right.
    return _svg(title, left + side + LABEL_WIDTH // 2, top + side + 2, [*parts, "</g>"])


def small_confusion_chart(title: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix of many classes: as confusion_chart, with names and counts as tooltips alone."""
    cell = SMALL_MATRIX_SIDE / len(matrix)
    parts = ["<g transform='translate(24 24)'>", *_cells(matrix, labels, cell), "</g>"]
    middle = 24 + SMALL_MATRIX_SIDE / 2
    parts.append(f"<text class='middle' x='{middle}' y='14'>Answer</text>")
    parts.append(f"<text class='middle' transform='translate(14 {middle}) rotate(-90)'>Truth</text>")
    return _svg(title, SMALL_MATRIX_SIDE + 26, SMALL_MATRIX_SIDE + 26, parts)


def _cells(matrix: Sequence[Sequence[int]], labels: Sequence[str], cell: float) -> list[str]:
    side = cell * len(matrix)
    parts = [f"<rect class='axis' width='{side:.1f}' height='{side:.1f}'/>"]
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            if count:
                # Never so strong that the count on it could not be read, in either colour of text.
                opacity = 0.15 + 0.7 * count / sum(counts)
                name = html.escape(f"{labels[row]}, answered {labels[column]}: {count}")
                parts.append(
                    f"<rect x='{column * cell:.1f}' y='{row * cell:.1f}' width='{cell:.1f}' height='{cell:.1f}' "
                    f"fill='{BLUE if row == column else RED}' fill-opacity='{opacity:.2f}'>"
                    f"<title>{name}</title></rect>"
                )
    return parts


def _shortened(label: str) -> str:
    return label if len(label) <= LABEL_LENGTH else f"{label[: LABEL_LENGTH - 1]}\N{HORIZONTAL ELLIPSIS}"


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f"<svg role='img' aria-label='{html.escape(title)}' width='{width:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}'>{''.join(parts)}</svg>"
    )
