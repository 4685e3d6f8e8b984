"""The last screen of the demo, from what the tasks of a run have returned."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from include.laptop import last_screen
from include.laptop.calls import calls, local_credentials
from include.laptop.last_screen import Finished
from include.laptop.live_models import LiveModel
from include.laptop.terminal import make_console

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
REQUEST = {
    "image": "test/001.circle/circle_000.png",
    "truth": "001.circle",
    "label": "001.circle",
    "probability": 0.98765,
    "milliseconds": 43.6,
}
WRONG = REQUEST | {"label": "003.square", "probability": 0.51234}
LIVE = LiveModel(
    project="sample",
    model="sample-model-0123456789ab",
    endpoint="sample",
    status="InService",
    function="sample:live",
    version=1,
    accuracy=(0.9867, 0.9279, 0.9997),
    since=SINCE,
)
REPORT: dict[str, Any] = {
    "now": "Version 1 is live since 16:20 UTC, accuracy 0.987 (0.928 to 1.000).",
    "test_accuracy": 0.9867,
    "test_accuracy_interval": [0.9279, 0.9997],
    "test_images": 75,
    "removed_classes": [],
    "added_classes": ["beagle", "collie"],
    "cost": {
        "estimate": {"at_most_usd": 4.6, "monthly_usd": 86.1},
        "actual": {"usd": 0.0123},
    },
}
RUN = Finished(
    project="sample",
    smoke_test={"accuracy": 0.5, "requests": [REQUEST, WRONG]},
    report=REPORT,
    live=LIVE,
    seconds=102.0,
    credentials=local_credentials("http://127.0.0.1:5566"),
    calls=calls("sample", "live", ".local/sample.png", "http://127.0.0.1:5566/url/"),
    links=[("Run in Airflow", "http://127.0.0.1:8080/dags/sample"), ("Report", "http://127.0.0.1:8080/r")],
)


def lines(run: Finished, console: Console | None = None) -> list[str]:
    printed = io.StringIO()
    last_screen.show(console or make_console(printed), run)
    return printed.getvalue().splitlines()


def words(run: Finished) -> list[str]:
    return [" ".join(line.split()) for line in lines(run)]


def test_each_prediction_stands_beside_the_truth_and_is_marked() -> None:
    shown = words(RUN)
    assert "Test images through the Lambda function: 1 of 2 right" in shown
    assert "\N{CHECK MARK} circle_000.png 001.circle 001.circle 98.8% 44 ms" in shown
    assert "\N{BALLOT X} circle_000.png 001.circle 003.square 51.2% 44 ms" in shown


def test_it_says_what_is_live_since_when_and_how_good_it_is() -> None:
    shown = words(RUN)
    assert REPORT["now"] in shown
    assert "Accuracy 0.987 on 75 test images, 95% interval 0.928 to 1.000" in shown
    assert "Live sample-model-0123456789ab at endpoint sample, function sample:live" in shown
    assert "New classes beagle, collie" in shown
    assert not [line for line in shown if line.startswith("Removed classes")]


def test_it_says_what_the_run_costs() -> None:
    assert (
        "Cost nothing on this machine. On AWS: $0.012 for the same seconds, at most $4.60, then $86.10 per month "
        "while it is live"
    ) in words(RUN)


def test_every_call_can_be_copied_line_by_line() -> None:
    shown = "\n".join(lines(RUN))
    assert f"\n{RUN.credentials}\n" in shown
    for call in RUN.calls:
        assert f"\n{call.name}\n\n{call.script}\n" in shown


def test_without_a_function_url_it_says_how_to_have_one() -> None:
    run = replace(
        RUN, calls=RUN.calls[:-1], function_url_hint="To call it with curl, set function.url to true."
    )
    assert "To call it with curl, set function.url to true." in words(run)
    assert "curl" not in words(run)


@pytest.mark.parametrize("columns", [40, 59, 60, 100])
def test_a_narrow_terminal_shows_all_that_matters(columns: int) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=columns, color_system=None, markup=False)
    last_screen.show(console, RUN)
    letters = "".join(printed.getvalue().split())
    for part in ("001.circle", "003.square", "51.2%", "http://127.0.0.1:8080/dags/sample"):
        assert part in letters
    table = printed.getvalue().partition("Version 1")[0].splitlines()
    assert max(map(len, table[2:])) <= columns


def test_a_class_of_an_archive_can_not_control_the_terminal() -> None:
    request = REQUEST | {"truth": "\x1b[2Jcircle", "label": "[bold]circle[/]"}
    shown = "\n".join(lines(replace(RUN, smoke_test={"accuracy": 0, "requests": [request]})))
    assert "\x1b" not in shown
    assert "[bold]circle[/]" in shown
