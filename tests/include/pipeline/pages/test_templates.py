"""The markup of all pages: correct for readers and browsers with any document."""

from __future__ import annotations

import re
from itertools import pairwise


def test_headings_are_in_order_and_tables_have_headers(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        levels = [int(level) for level in re.findall(r"<h(\d)", text)]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(after - before <= 1 for before, after in pairwise(levels)), name
        tables = re.findall(r"<table>.*?</table>", text, re.DOTALL)
        assert all("<th scope" in table for table in tables), name
        assert text.count("<main") == 1, name
        assert text.count("<img") == text.count(" alt="), name


def test_names_inject_no_code_and_no_style(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        assert not re.search(r"<script|<[^>]+\sstyle=|javascript:", text), name
        assert text.count("<style>") == 1, name
