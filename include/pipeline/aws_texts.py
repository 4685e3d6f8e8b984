"""Make texts valid for AWS, which refuses line breaks, control characters and texts that are too long."""

from __future__ import annotations

import re
import unicodedata

LONGEST_DESCRIPTION = 1024
"""The limit for a model package, its approval and its group: ``EntityDescription`` and ``ApprovalDescription`` in
SageMaker."""
LONGEST_VALUE = 256
"""The limit for a property in a model package's customer metadata: ``CustomerMetadataValue`` in SageMaker."""
CUT = "…"
"""The end of a truncated text."""


def description(text: str, limit: int = LONGEST_DESCRIPTION) -> str:
    """Return a text on one line without control characters, truncated with a mark."""
    printable = (" " if unicodedata.category(character)[0] == "C" else character for character in text)
    return _cut(" ".join("".join(printable).split()), limit)


def property_value(value: object) -> str:
    """Return a value for a model package's customer metadata: only letters, digits, spaces and ``_.:/=+-@``."""
    return _cut(re.sub(r"[^\w .:/=+\-@]", "-", str(value)), LONGEST_VALUE, mark="")


def _cut(text: str, limit: int, mark: str = CUT) -> str:
    if _length(text) <= limit:
        return text
    kept = text[: limit - len(mark)]
    while _length(kept) > limit - len(mark):
        kept = kept[:-1]
    return kept.rstrip() + mark


def _length(text: str) -> int:
    """Return the length as AWS counts it: in UTF-16 code units, of which some characters, such as emojis, need two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
