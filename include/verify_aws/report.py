"""The texts of a run against an AWS account: plan, page and summary."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import botocore

from include.verify_aws.costs import COSTS, PROVISIONED
from include.verify_aws.guard import PREFIX, TAG
from include.verify_aws.sweep import Swept

Record = dict[str, Any]
SHOWN_ACCOUNT = "123456789012"
"""Replaces the account ID in the page, so that the page can be shared."""


def plan(records: list[Record], account: str, region: str, costs: bool) -> str:
    """Return the resources that a run would create, the account, the region, and the cost."""
    planned = [record for record in records if record["outcome"] == "planned"]
    kinds: dict[str, tuple[int, float]] = {}
    for record in planned:
        what, usd = record["cost"]["what"], record["cost"]["usd"]
        kinds[what] = (kinds.get(what, (0, usd))[0] + 1, usd)
    most = sum(usd for _, usd in kinds.values())
    lines = [
        f"Dry run: nothing was created. Account {account}, region {region}.",
        f"{len(planned)} tests would run and create resources named {PREFIX}-… and tagged {TAG[0]}={TAG[1]}:",
        *(f"  {count:>4} tests: {what}, {_money(usd)}" for what, (count, usd) in sorted(kinds.items())),
        f"At most {_money(most)} in total. All resources are removed at the end.",
    ]
    if not costs:
        rest = sum(cost.usd for cost in {*COSTS.values(), PROVISIONED})
        lines.append(
            f"COSTS=1 also runs tests that cost more than a cent: jobs, endpoints, instances, up to {_money(rest)}."
        )
    lines += [f"Never run: {_name(record)}: {record['reason']}" for record in records if record["never"]]
    return "\n".join([*lines, f"To run it: make verify-aws CONFIRM={account}{' COSTS=1' if costs else ''}"])


def page(
    records: list[Record], before: Swept, after: Swept, account: str, region: str, *, complete: bool
) -> str:
    """Return the page (Markdown) with the rows that differ."""
    differ = [record for record in records if record["outcome"] in ("differs", "error")]
    rest = [record for record in records if record["outcome"] in ("not run", "planned")]
    lines = [
        "# Where AWS differs from the expected answers",
        "",
        f"Region {region}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, botocore {botocore.__version__}. "
        f"{summary(records, after)}",
        "",
    ]
    if not complete:
        lines += ["**The run did not finish.**", ""]
    lines += _table(("Row", "Test", "Last answers of AWS", "Why it differs"), map(_difference, differ))
    lines += ["", "## Not run", ""]
    lines += _table(
        ("Row", "Test", "Reason"),
        ((_rows(each), _name(each), each["reason"] or "the run ended early") for each in rest),
    )
    lines += ["", "## Removed", ""]
    lines += [f"- {name}, of an earlier run" for name in before.removed] + [
        f"- {name}" for name in after.removed
    ]
    if after.left or after.untagged:
        lines += ["", "## Left in the account", ""]
        lines += [f"- {text}" for text in after.left]
        lines += [f"- {name}: it has the prefix, but not the tag; check its owner" for name in after.untagged]
    return "\n".join(lines).replace(account, SHOWN_ACCOUNT) + "\n"


def summary(records: list[Record], after: Swept) -> str:
    """Return how many tests agree and differ, and whether resources are left."""
    outcomes = [record["outcome"] for record in records]
    agree, differ = outcomes.count("agrees"), outcomes.count("differs") + outcomes.count("error")
    left = (
        f" Not removed or not searched: {len(after.left)}. See the page."
        if after.left
        else " Nothing is left."
    )
    return f"{agree} tests agree, {differ} differ, {len(outcomes) - agree - differ} were not run.{left}"


def _difference(record: Record) -> tuple[str, ...]:
    kind = "Error in the setup: " if record["outcome"] == "error" else ""
    return (
        _rows(record),
        _name(record),
        "; ".join(record.get("answers", [])) or "none",
        kind + (record["reason"] or "unknown"),
    )


def _rows(record: Record) -> str:
    return ", ".join(record["rows"])


def _name(record: Record) -> str:
    return str(record["test"]).removeprefix("tests/contract/")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [_line(row) for row in rows]
    return [_line(header), _line(("---",) * len(header)), *lines] if lines else ["None."]


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _money(usd: float) -> str:
    return f"${usd:.2f}" if usd else "less than a cent"
