"""Print with color and live progress on a terminal, and as plain lines elsewhere."""

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

# Wider than any table, so that piped output is never wrapped.
PIPED_COLUMNS = 1000
SPINNER = "line"  # ASCII, which every terminal can show


def make_console(file: IO[str] | None = None) -> Console:
    """Return a console for `file`, by default the standard output.

    Only terminals get color and cursor movements, even with FORCE_COLOR. NO_COLOR and TERM=dumb are respected.
    """
    stream = file or sys.stdout
    is_terminal = stream.isatty()
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # the encoding may lack characters of class names
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
    """Print a line without wrapping it, so that a copied URL or command stays complete."""
    console.print(Text(printable(line), style=style), soft_wrap=True)


def show(console: Console, table: Table) -> None:
    """Print a table; without a terminal, strip trailing whitespace."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        say(console, line.rstrip())


def printable(text: str) -> str:
    """Replace control characters in text, since class names may come from untrusted archives."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def mark(console: Console, is_right: bool) -> Text:
    """Return a check mark or a cross, or a word if the terminal's encoding lacks them."""
    if console.encoding.lower().startswith("utf"):
        text = "\N{CHECK MARK}" if is_right else "\N{BALLOT X}"
    else:
        text = "right" if is_right else "WRONG"
    return Text(text, style="green" if is_right else "bold red")


def facts(rows: list[tuple[str, str]]) -> Table:
    """Return a table with a name and a value in each row."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"  {name}", Text(printable(value)))
    return grid


def duration(seconds: float) -> str:
    """Return a human-readable duration: ``4.2 s``, ``38 s``, ``2 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for unit, size, smaller, below in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {smaller}"
    return f"{whole} s"


def clock_time(moment: datetime, now: datetime | None = None) -> str:
    """Return a local time: ``16:20`` for today, ``2026-11-28 16:20`` for an earlier day."""
    local = moment.astimezone()
    today = (now or datetime.now().astimezone()).astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """On a terminal, show a spinner, the activity and its duration until the block ends."""
    if not is_live(console):
        yield
        return
    columns = (SpinnerColumn(SPINNER), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def caller_folder() -> Path:
    """Return the folder in which the user called make, since `make -C` changes the working folder."""
    return Path(os.environ.get("CALLER_FOLDER") or os.getcwd())


def shown_path(path: Path) -> str:
    """Return a path relative to the folder in which the user called make, if it is below it."""
    folder = caller_folder()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
