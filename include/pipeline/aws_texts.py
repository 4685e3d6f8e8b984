"""Texts as AWS takes them: it refuses a call for a line break, a control character or one character too many."""

from __future__ import annotations

import re
import unicodedata

LONGEST_DESCRIPTION = 1024
"""Of a model package, its approval and its group: ``EntityDescription`` and ``ApprovalDescription`` in SageMaker."""
LONGEST_VALUE = 256
"""Of a property in a model package's customer metadata: ``CustomerMetadataValue`` in SageMaker."""
CUT = "…"
"""Ends a text that was cut."""


def description(text: str, limit: int = LONGEST_DESCRIPTION) -> str:
    """Return a text in one line without control characters, cut at a limit with a mark."""
    printable = (" " if unicodedata.category(character)[0] == "C" else character for character in text)
    return _cut(" ".join("".join(printable).split()), limit)


def property_value(value: object) -> str:
    """Return a value of a model package's customer metadata: letters, digits, blanks and ``_.:/=+-@`` alone."""
    return _cut(re.sub(r"[^\w .:/=+\-@]", "-", str(value)), LONGEST_VALUE, mark="")


def _cut(text: str, limit: int, mark: str = CUT) -> str:
    if _length(text) <= limit:
        return text
    kept = text[: limit - len(mark)]
    while _length(kept) > limit - len(mark):
        kept = kept[:-1]
    return kept.rstrip() + mark


def _length(text: str) -> int:
    """Return the length as AWS counts it: in UTF-16, where some characters, such as emojis, are two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
