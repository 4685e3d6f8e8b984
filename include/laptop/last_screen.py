"""The last screen of the demo: predictions, what is live, what it costs, how to call it, and where to look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.laptop.calls import Call
from include.laptop.live_models import LiveModel
from include.laptop.terminal import duration, facts, mark, printable, say
from include.laptop.terminal import show as show_table
from include.pipeline.cost import dollars

# Narrower terminals show only truth, answer and probability.
ALL_COLUMNS_FROM = 60


@dataclass(frozen=True)
class Finished:
    """What is known of a run that has deployed a model.

    :param smoke_test: what the task `smoke_test` returned.
    :param report: what the task `report` returned.
    :param live: the model that is live now.
    :param seconds: how long the run took.
    :param credentials: see :func:`include.laptop.calls.local_credentials`.
    :param calls: the ways to call the model.
    :param function_url_key: where to switch on a function URL; None if there is one.
    :param links: names and URLs of the pages that are worth opening.
    """

    project: str
    smoke_test: dict[str, Any]
    report: dict[str, Any]
    live: LiveModel | None
    seconds: float | None
    credentials: str
    calls: list[Call]
    function_url_hint: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)


def show(console: Console, run: Finished) -> None:
    """Print the screen."""
    requests = run.smoke_test["requests"]
    right = sum(request["truth"] == request["label"] for request in requests)
    say(console)
    say(console, f"Test images through the Lambda function: {right} of {len(requests)} right", style="bold")
    say(console)
    show_table(console, _predictions(console, requests))
    say(console)
    say(console, run.report["now"], style="bold green" if run.live else "bold")
    say(console)
    show_table(console, facts(_facts(run)))
    _show_calls(console, run)
    if run.links:
        say(console)
        say(console, "Worth opening", style="bold")
        width = max(len(name) for name, _ in run.links)
        for name, url in run.links:
            say(console, f"  {name:<{width}}  {url}")


def _predictions(console: Console, requests: list[dict[str, Any]]) -> Table:
    is_wide = console.width >= ALL_COLUMNS_FROM
    table = Table(box=None, padding=(0, 1), pad_edge=True, header_style="dim")
    table.add_column("")
    if is_wide:
        table.add_column("Image", overflow="fold")
    table.add_column("Truth", overflow="fold")
    table.add_column("Answer", overflow="fold")
    table.add_column("Probability" if is_wide else "", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("Time", justify="right", no_wrap=True)
    for request in requests:
        is_right = request["truth"] == request["label"]
        style = "" if is_right else "bold red"
        image = str(request.get("image", "")).rpartition("/")[2]
        table.add_row(
            mark(console, is_right),
            *([Text(printable(image))] if is_wide else []),
            Text(printable(str(request["truth"]))),
            Text(printable(str(request["label"])), style=style),
            Text(f"{request['probability']:.1%}", style=style),
            *([f"{request['milliseconds']:.0f} ms"] if is_wide else []),
        )
    return table


def _facts(run: Finished) -> list[tuple[str, str]]:
    report, rows = run.report, []
    if report.get("test_accuracy") is not None:
        interval = report.get("test_accuracy_interval")
        spread = f", 95% interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        rows.append(
            ("Accuracy", f"{report['test_accuracy']:.3f} on {report['test_images']} test images{spread}")
        )
    for name, key in (("Removed classes", "removed_classes"), ("New classes", "added_classes")):
        if report.get(key):
            rows.append((name, ", ".join(report[key])))
    if run.live:
        function = f", function {run.live.function}" if run.live.function else ""
        rows.append(("Live", f"{run.live.model} at endpoint {run.live.endpoint}{function}"))
    if run.seconds is not None:
        rows.append(("Time", duration(run.seconds)))
    if cost := report.get("cost"):
        rows.append(("Cost", _cost(cost)))
    return rows


def _cost(cost: dict[str, Any]) -> str:
    estimate, actual = cost["estimate"], cost["actual"]
    return (
        f"nothing on this machine. On AWS: {dollars(actual['usd'])} for the same seconds, at most "
        f"{dollars(estimate['at_most_usd'])}, then {dollars(estimate['monthly_usd'])} per month while it is live"
    )


def _show_calls(console: Console, run: Finished) -> None:
    """Print the calls from the first column on: a here-document ends only there."""
    say(console)
    say(console, "Call it: first lead this shell to local AWS (not needed on AWS)", style="bold")
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
