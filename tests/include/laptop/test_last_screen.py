"""The last screen of the demo, from the return values of a run's tasks."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from include.laptop import last_screen
from include.laptop.calls import calls, local_credentials
from include.laptop.last_screen import Finished
from include.laptop.live_models import LiveModel
from include.laptop.terminal import make_console
from include.pipeline.results import SmokeTestRequest, SmokeTestResult
from tests.include.pipeline.pages import samples

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
REQUEST = SmokeTestRequest(
    image="test/001.circle/circle_000.png",
    truth="001.circle",
    label="001.circle",
    probability=0.98765,
    milliseconds=43.6,
)
WRONG = REQUEST.model_copy(update={"label": "003.square", "probability": 0.51234})
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
REPORT = samples.release(["001.circle", "003.square"]).model_copy(
    update={
        "now": "Version 1 is live since 16:20 UTC, accuracy 0.987 (0.928 to 1.000).",
        "test_accuracy": 0.9867,
        "test_accuracy_interval": (0.9279, 0.9997),
        "test_images": 75,
        "added_classes": ["beagle", "collie"],
    }
)
RUN = Finished(
    project="sample",
    smoke_test=SmokeTestResult(accuracy=0.5, requests=[REQUEST, WRONG]),
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


def test_each_prediction_is_shown_with_the_truth_and_a_mark() -> None:
    shown = words(RUN)
    assert "Predictions of the Lambda function: 1 of 2 correct" in shown
    assert "\N{CHECK MARK} circle_000.png 001.circle 001.circle 98.8% 44 ms" in shown
    assert "\N{BALLOT X} circle_000.png 001.circle 003.square 51.2% 44 ms" in shown


def test_live_model_is_shown_with_its_accuracy() -> None:
    shown = words(RUN)
    assert REPORT.now in shown
    assert "Accuracy 0.987 on 75 test images, 95% interval 0.928 to 1.000" in shown
    assert "Live sample-model-0123456789ab at endpoint sample, function sample:live" in shown
    assert "New classes beagle, collie" in shown
    assert not [line for line in shown if line.startswith("Removed classes")]


def test_cost_is_shown() -> None:
    assert (
        "Cost nothing on this machine. On AWS: $0.043 for the same seconds, at most $3.68, then $95.15 per month "
        "while it is live"
    ) in words(RUN)


def test_every_call_can_be_copied() -> None:
    shown = "\n".join(lines(RUN))
    assert f"\n{RUN.credentials}\n" in shown
    for call in RUN.calls:
        assert f"\n{call.name}\n\n{call.script}\n" in shown


def test_missing_function_url_shows_how_to_enable_it() -> None:
    run = replace(
        RUN, calls=RUN.calls[:-1], function_url_hint="To call the model with curl, set function.url to true."
    )
    assert "To call the model with curl, set function.url to true." in words(run)
    assert "curl" not in words(run)


@pytest.mark.parametrize("columns", [40, 59, 60, 100])
def test_narrow_terminal_shows_the_essential_columns(columns: int) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=columns, color_system=None, markup=False)
    last_screen.show(console, RUN)
    letters = "".join(printed.getvalue().split())
    for part in ("001.circle", "003.square", "51.2%", "http://127.0.0.1:8080/dags/sample"):
        assert part in letters
    table = printed.getvalue().partition("Version 1")[0].splitlines()
    assert max(map(len, table[2:])) <= columns


def test_class_names_can_not_control_the_terminal() -> None:
    request = REQUEST.model_copy(update={"truth": "\x1b[2Jcircle", "label": "[bold]circle[/]"})
    shown = "\n".join(lines(replace(RUN, smoke_test=SmokeTestResult(accuracy=0, requests=[request]))))
    assert "\x1b" not in shown
    assert "[bold]circle[/]" in shown
