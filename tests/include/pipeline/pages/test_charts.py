"""Charts: in light and dark colors, with readable ticks, however few points they have."""

from __future__ import annotations

import base64
import re
import warnings
from xml.etree import ElementTree

import pytest

from include.pipeline.pages import charts
from include.pipeline.pages.charts import DARK, LIGHT, Line, Point
from include.pipeline.pages.documents import Chart

SVG = "{http://www.w3.org/2000/svg}"


def svg(uri: str) -> str:
    return base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode()


def without_ids(drawing: str) -> str:
    """Return a drawing without identifiers, which matplotlib derives from colors too."""
    return re.sub(r'(id="|"#|url\(#)\w+', r"\1", drawing)


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg(chart.light)).iter(f"{SVG}text")]


def learning_curve(epochs: int) -> Chart:
    points = [(number, 1 / number) for number in range(1, epochs + 1)]
    return charts.line_chart("Loss", [Line("train", points), Line("validation", points)], "Epoch", "Loss")


def trials(*rates: float) -> Chart:
    points = [Point(rate, 0.5, "32") for rate in rates]
    return charts.scatter_chart("Trials", points, "Learning rate", "Loss", "batch size")


def test_a_chart_has_the_colors_of_light_and_of_dark_pages() -> None:
    chart = learning_curve(3)
    assert LIGHT.ink in svg(chart.light)
    assert DARK.ink in svg(chart.dark)
    assert LIGHT.ink not in svg(chart.dark)


def one_of_each_kind() -> list[Chart]:
    return [
        learning_curve(3),
        trials(0.01, 0.02),
        charts.stacked_columns("Time", ["data", "other"], [[1, 2]], "Epoch", "Seconds"),
        charts.line_chart("Reliability", [Line("test", [(0.5, 0.5)], [1.0])], "x", "y", unit_square=True),
        charts.confusion_chart("Confusion", [[5, 1], [0, 6]], ["Wren", "Robin"]),
    ]


def test_dark_charts_are_as_if_they_were_drawn_in_dark_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    charted = one_of_each_kind()
    monkeypatch.setattr(charts, "LIGHT", DARK)
    for chart, drawn in zip(charted, one_of_each_kind(), strict=True):
        assert without_ids(svg(chart.dark)) == without_ids(svg(drawn.light))


def test_a_name_like_a_color_stays_as_it_is() -> None:
    chart = charts.line_chart("Loss", [Line(f"color: {LIGHT.ink}", [(1, 1)])], "Epoch", "Loss")
    assert f"color: {LIGHT.ink}" in svg(chart.dark)


def test_equal_figures_give_equal_charts() -> None:
    assert learning_curve(3) == learning_curve(3)


@pytest.mark.parametrize(("epochs", "ticks"), [(1, ["1"]), (2, ["1", "2"]), (3, ["1", "2", "3"])])
def test_epochs_have_integer_ticks(epochs: int, ticks: list[str]) -> None:
    found = texts(learning_curve(epochs))
    assert found[: found.index("Epoch")] == ticks


def test_many_epochs_have_few_ticks() -> None:
    found = texts(learning_curve(300))
    assert 4 <= len(found[: found.index("Epoch")]) <= 11


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param((0.000971,), id="one"),
        pytest.param((0.000971, 0.000972), id="two that are close"),
        pytest.param((0.000971, 0.0316), id="two that are far apart"),
        pytest.param((1e-6, 1.0), id="many decades"),
    ],
)
def test_learning_rates_have_round_ticks(rates: tuple[float, ...]) -> None:
    found = texts(trials(*rates))
    ticks = found[: found.index("Learning rate")]
    assert 2 <= len(ticks) <= 10
    assert all(re.fullmatch(r"(0\.0*)?[125]0*(e-0\d)?", tick) for tick in ticks), ticks


def test_equal_trials_can_be_drawn() -> None:
    assert "batch size 32" in texts(trials(0.01, 0.01))


def test_the_legend_names_the_series() -> None:
    assert {"train", "validation"} <= set(texts(learning_curve(2)))
    columns = charts.stacked_columns("Time", ["data", "other"], [[1, 2]], "Epoch", "Seconds")
    assert {"data", "other"} <= set(texts(columns))


def test_a_small_confusion_matrix_has_names_and_counts() -> None:
    found = texts(charts.confusion_chart("Confusion", [[5, 1], [0, 6]], ["Wren", "Robin"]))
    assert [text for text in found if text.isdigit()] == ["5", "1", "6"]
    assert (found.count("Wren"), found.count("Robin")) == (2, 2)


def test_a_large_confusion_matrix_has_no_names() -> None:
    matrix = [[int(row == column) for column in range(21)] for row in range(21)]
    assert set(texts(charts.confusion_chart("Confusion", matrix, ["x"] * 21))) == {
        "Predicted class",
        "True class",
    }


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "$\\frac{1}{0$ $x$", "犬 🐕", "a" * 300, "&amp;"]
)
def test_any_name_of_a_class_can_be_drawn(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = charts.confusion_chart("Confusion", [[1, 0], [0, 1]], [name, "b"])
    assert name[:23] in texts(chart)[0]


def test_a_class_without_images_is_an_empty_row() -> None:
    assert texts(charts.confusion_chart("Confusion", [[0, 0], [0, 3]], ["a", "b"])).count("3") == 1


def test_no_data_gives_an_empty_chart() -> None:
    assert "Epoch" in texts(charts.line_chart("Loss", [], "Epoch", "Loss"))
