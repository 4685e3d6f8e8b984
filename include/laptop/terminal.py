"""Print to a terminal with color and live progress, and to anything else as plain lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# Wider than any table: what is piped is never wrapped.
PIPED_COLUMNS = 1000
SPINNER = "line"  # ASCII, so that any terminal can show it


def make_console(file: IO[str] | None = None) -> Console:
    """Return a console for `file`, standard output unless given.

    Color and cursor movements are for terminals alone, whatever FORCE_COLOR says. NO_COLOR and TERM=dumb are respected.
    """
    stream = file or sys.stdout
    is_terminal = stream.isatty()
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # a class may have a name that the terminal's encoding lacks
    return Console(
        file=stream,
        force_terminal=is_terminal,
        width=None if is_terminal else PIPED_COLUMNS,
        highlight=False,
        markup=False,
        emoji=False,
    )


def is_live(console: Console) -> bool:
    """Return whether the console can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


def say(console: Console, line: str = "", style: str = "") -> None:
    """Print a line as it is: the terminal wraps it, so that a copied URL or command stays whole."""
    console.print(Text(printable(line), style=style), soft_wrap=True)


def show(console: Console, table: Table) -> None:
    """Print a table; without a terminal, its lines end where their text ends."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        say(console, line.rstrip())


def printable(text: str) -> str:
    """Return text without characters that control a terminal: names of classes come from strangers' archives."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def mark(console: Console, is_right: bool) -> Text:
    """Return a check mark or a cross, or a word where the terminal lacks them."""
    if console.encoding.lower().startswith("utf"):
        text = "\N{CHECK MARK}" if is_right else "\N{BALLOT X}"
    else:
        text = "right" if is_right else "WRONG"
    return Text(text, style="green" if is_right else "bold red")


def facts(rows: list[tuple[str, str]]) -> Table:
    """Return rows of a name and what there is to say of it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"  {name}", Text(printable(value)))
    return grid


def duration(seconds: float) -> str:
    """Return a duration for people: ``4.2 s``, ``38 s``, ``2 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for unit, size, smaller, below in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {smaller}"
    return f"{whole} s"


def clock_time(moment: datetime, now: datetime | None = None) -> str:
    """Return a time of today as ``16:20``, and an earlier one as ``2026-11-28 16:20``, in the time of this machine."""
    local = moment.astimezone()
    today = (now or datetime.now().astimezone()).astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """Show a spinner, `what` is being done, and for how long, until the block ends; on a terminal alone."""
    if not is_live(console):
        yield
        return
    columns = (SpinnerColumn(SPINNER), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def caller_folder() -> Path:
    """Return the folder in which the user called make: `make -C` changes the working folder."""
    return Path(os.environ.get("CALLER_FOLDER") or os.getcwd())


def shown_path(path: Path) -> str:
    """Return a path as the user can paste it: relative if it is below the folder in which they called make."""
    folder = caller_folder()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
