"""Charts are well-formed SVG whose marks lie where their values are."""

import itertools
from xml.etree import ElementTree

import charts
import pytest
from charts import Line

HOSTILE = "<script>alert('1')</script>&\""


def numbers(svg: str, tag: str, attribute: str) -> list[float]:
    return [float(element.get(attribute, "nan")) for element in ElementTree.fromstring(svg).iter(tag)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.3, [0, 0.1, 0.2, 0.3]),
        (1, 2, [1, 1.2, 1.4, 1.6, 1.8, 2]),
        (0, 1843, [0, 500, 1000, 1500]),
        (0, 0.00047, [0, 0.0001, 0.0002, 0.0003, 0.0004]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_the_points_of_a_line_lie_where_their_values_are() -> None:
    svg = charts.line_chart("t", [Line("a", [(1, 0.0), (2, 0.5), (5, 1.0)])], "x", "y", y=(0, 1))

    left, top = numbers(svg, "circle", "cx"), numbers(svg, "circle", "cy")
    assert left[2] - left[0] == pytest.approx(4 * (left[1] - left[0]), abs=0.3)
    assert top[0] - top[1] == pytest.approx(top[1] - top[2], abs=0.2)
    assert top[0] > top[2]


def test_a_point_that_stands_for_more_has_a_larger_mark() -> None:
    svg = charts.line_chart("t", [Line("a", [(0, 0), (1, 1)], shares=[0.1, 0.9])], "x", "y")

    small, large = numbers(svg, "circle", "r")
    assert small < large


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_line_of_a_single_point_is_drawn(value: float) -> None:
    svg = charts.line_chart("t", [Line("a", [(1, value)])], "x", "y")

    assert len(numbers(svg, "circle", "cx")) == 1


def test_columns_stack_their_parts() -> None:
    svg = charts.stacked_columns("t", ["a", "b"], [[1, 3], [2, 2]], "x", "y")

    heights = numbers(svg, "rect", "height")[:4]  # after these come the samples of the legend
    tops = numbers(svg, "rect", "y")[:2]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.3)
    assert heights[2] == pytest.approx(heights[3], abs=0.2)
    assert tops[0] == pytest.approx(tops[1] + heights[1], abs=0.2)


def test_columns_without_height_are_drawn() -> None:
    assert numbers(charts.stacked_columns("t", ["a"], [[0.0]], "x", "y"), "rect", "height")[0] == 0


def test_a_cell_is_the_stronger_the_larger_its_share_of_the_row() -> None:
    svg = charts.confusion_chart("t", [[1, 3], [0, 400]], ["a", "b"])

    opacities = [
        float(cell.get("fill-opacity", "nan"))
        for cell in ElementTree.fromstring(svg).iter("rect")
        if cell.get("fill")
    ]
    assert len(opacities) == 3  # nothing is drawn for 0
    assert opacities[0] < opacities[1] < opacities[2]


def test_many_classes_make_a_chart_of_one_size_without_names_on_it() -> None:
    labels = [f"class {number}" for number in range(133)]
    matrix = [[int(row == column) for column in range(133)] for row in range(133)]

    svg = charts.small_confusion_chart("t", matrix, labels)

    texts = [text.text for text in ElementTree.fromstring(svg).iter("text")]
    assert texts == ["Answer", "Truth"]
    assert "class 7, answered class 7: 1" in [t.text for t in ElementTree.fromstring(svg).iter("title")]


@pytest.mark.parametrize(
    "svg",
    [
        charts.line_chart(HOSTILE, [Line(HOSTILE, [(0, 1)])], HOSTILE, HOSTILE),
        charts.stacked_columns(HOSTILE, [HOSTILE], [[1]], HOSTILE, HOSTILE),
        charts.confusion_chart(HOSTILE, [[1, 1], [1, 1]], [HOSTILE, "b"]),
        charts.small_confusion_chart(HOSTILE, [[1, 1], [1, 1]], [HOSTILE, "b"]),
    ],
    ids=["lines", "columns", "matrix", "small matrix"],
)
def test_names_can_not_bring_code_along(svg: str) -> None:
    tags = {element.tag for element in ElementTree.fromstring(svg).iter()}

    assert tags <= {"svg", "g", "path", "rect", "circle", "text", "title"}


def test_colours_and_dashes_tell_four_lines_apart() -> None:
    svg = charts.line_chart("t", [Line(name, [(0, 1), (1, 1)]) for name in "abcd"], "x", "y")

    paths = [path for path in ElementTree.fromstring(svg).iter("path") if path.get("class") == "line"]
    looks = [
        (path.get("stroke"), path.get("stroke-dasharray")) for path in paths[:4]
    ]  # then come the samples
    assert all(a != c and b != d for (a, b), (c, d) in itertools.combinations(looks, 2))
