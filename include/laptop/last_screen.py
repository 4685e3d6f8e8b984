"""The last screen of the demo: predictions, the live model, its cost, how to call it, and links."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.laptop.calls import Call
from include.laptop.live_models import LiveModel
from include.laptop.terminal import duration, facts, mark, printable, say
from include.laptop.terminal import show as show_table
from include.pipeline.cost import dollars
from include.pipeline.results import ReleaseReport, RunCost, SmokeTestRequest, SmokeTestResult

# Narrower terminals show only truth, prediction and probability.
ALL_COLUMNS_FROM = 60


@dataclass(frozen=True)
class Finished:
    """The data of a run that has deployed a model.

    :param live: The live model.
    :param seconds: The duration of the run.
    :param credentials: See :func:`include.laptop.calls.local_credentials`.
    :param calls: The ways to call the model.
    :param function_url_hint: How to enable a function URL; None if there is one.
    :param links: Names and URLs of pages.
    """

    project: str
    smoke_test: SmokeTestResult
    report: ReleaseReport
    live: LiveModel | None
    seconds: float | None
    credentials: str
    calls: list[Call]
    function_url_hint: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)


def show(console: Console, run: Finished) -> None:
    """Print the screen."""
    requests = run.smoke_test.requests
    score = f"{run.smoke_test.right} of {len(requests)} correct"
    say(console)
    say(console, f"Predictions of the Lambda function: {score}", style="bold")
    say(console)
    show_table(console, _predictions(console, requests))
    say(console)
    say(console, run.report.now, style="bold green" if run.live else "bold")
    say(console)
    show_table(console, facts(_facts(run)))
    _show_calls(console, run)
    if run.links:
        say(console)
        say(console, "Links", style="bold")
        width = max(len(name) for name, _ in run.links)
        for name, url in run.links:
            say(console, f"  {name:<{width}}  {url}")


def _predictions(console: Console, requests: list[SmokeTestRequest]) -> Table:
    is_wide = console.width >= ALL_COLUMNS_FROM
    table = Table(box=None, padding=(0, 1), pad_edge=True, header_style="dim")
    table.add_column("")
    if is_wide:
        table.add_column("Image", overflow="fold")
    table.add_column("Truth", overflow="fold")
    table.add_column("Prediction", overflow="fold")
    table.add_column("Probability" if is_wide else "", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("Time", justify="right", no_wrap=True)
    for request in requests:
        style = "" if request.right else "bold red"
        image = request.image.rpartition("/")[2]
        table.add_row(
            mark(console, request.right),
            *([Text(printable(image))] if is_wide else []),
            Text(printable(request.truth)),
            Text(printable(request.label), style=style),
            Text(f"{request.probability:.1%}", style=style),
            *([f"{request.milliseconds:.0f} ms"] if is_wide else []),
        )
    return table


def _facts(run: Finished) -> list[tuple[str, str]]:
    report, rows = run.report, []
    if report.test_accuracy is not None:
        interval = report.test_accuracy_interval
        spread = f", 95% interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        rows.append(("Accuracy", f"{report.test_accuracy:.3f} on {report.test_images} test images{spread}"))
    for name, classes in (("Removed classes", report.removed_classes), ("New classes", report.added_classes)):
        if classes:
            rows.append((name, ", ".join(classes)))
    if run.live:
        function = f", function {run.live.function}" if run.live.function else ""
        rows.append(("Live", f"{run.live.model} at endpoint {run.live.endpoint}{function}"))
    if run.seconds is not None:
        rows.append(("Time", duration(run.seconds)))
    if report.cost:
        rows.append(("Cost", _cost(report.cost)))
    return rows


def _cost(cost: RunCost) -> str:
    return (
        f"nothing on this machine. On AWS: {dollars(cost.actual.usd)} for the same seconds, at most "
        f"{dollars(cost.estimate.at_most_usd)}, then {dollars(cost.estimate.monthly_usd)} per month while it is live"
    )


def _show_calls(console: Console, run: Finished) -> None:
    """Print the calls without indentation, since a here-document must end in the first column."""
    say(console)
    say(console, "Call the model: first point this shell to local AWS (not needed on AWS)", style="bold")
    say(console)
    say(console, run.credentials, style="cyan")
    for call in run.calls:
        say(console)
        say(console, call.name, style="bold")
        say(console)
        say(console, call.script, style="cyan")
    if run.function_url_hint:
        say(console)
        say(console, run.function_url_hint)
