"""The operations that docs/local-aws.md lists as those that the product calls."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "local-aws.md"
HEADER = "| Service | Operations | Here | How it differs |"
UNRECORDED = "°"
"""Marks an operation that the recorded runs do not call, but the product's code does."""
KINDS = ("runs", "kept", "AWS's answers")


def rows() -> list[list[str]]:
    """Return the rows of the table, as their cells."""
    lines = DOCUMENT.read_text(encoding="utf-8").partition(f"{HEADER}\n")[2].splitlines()[1:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def documented_operations() -> dict[tuple[str, str], bool]:
    """Return whether the recorded runs call it, by service, as botocore names it, and operation."""
    return {
        (service.strip("`"), operation.removesuffix(UNRECORDED)): not operation.endswith(UNRECORDED)
        for service, operations, *_ in rows()
        for operation in operations.split(", ")
    }
