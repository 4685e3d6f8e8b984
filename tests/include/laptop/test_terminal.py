"""The output: colors only for terminals, complete lines elsewhere, and no control characters."""

import io
from datetime import datetime, timedelta

import pytest

from include.laptop.terminal import clock_time, duration, make_console, mark, printable, say


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (4.21, "4.2 s"),
        (38.2, "38 s"),
        (59.7, "1 min 0 s"),
        (125, "2 min 5 s"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_duration_is_human_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_of_an_earlier_day_has_its_date() -> None:
    now = datetime(2026, 11, 29, 16, 40).astimezone()
    assert clock_time(now - timedelta(minutes=20), now) == "16:20"
    assert clock_time(now - timedelta(days=1), now) == "2026-11-28 16:40"


def test_name_can_not_control_the_terminal() -> None:
    assert (
        printable("\x1b[2Jbeagle\r\nspitz\x07")
        == "\N{REPLACEMENT CHARACTER}[2Jbeagle\N{REPLACEMENT CHARACTER}\nspitz\N{REPLACEMENT CHARACTER}"
    )


def test_long_line_without_a_terminal_is_not_wrapped() -> None:
    printed = io.StringIO()
    line = "http://127.0.0.1:8080/" + "x " * 2000 + "end"
    say(make_console(printed), line)
    assert printed.getvalue() == line + "\n"


@pytest.mark.parametrize(("encoding", "text"), [("utf-8", "\N{CHECK MARK}"), ("latin-1", "right")])
def test_mark_is_a_word_if_the_encoding_lacks_it(encoding: str, text: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert mark(make_console(stream), True).plain == text


def test_name_that_the_encoding_lacks_is_no_error() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = make_console(stream)
    say(console, "Blässhuhn")
    assert stream.buffer.getvalue() == b"Bl?sshuhn\n"  # type: ignore[attr-defined]
