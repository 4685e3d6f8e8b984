"""Pytest plugin that runs the contract tests against an AWS account; ``include/verify_aws/__main__.py`` loads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from include.verify_aws.costs import cost_of, rows_of, why_never
from include.verify_aws.guard import Account

MIN_UNRESERVED = 100
"""The concurrency that Lambda keeps unreserved. An account without more can't provision any."""
ACCOUNT = pytest.StashKey[Account]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("account")
    group.addoption("--account", action="store_true", help="use the AWS account of the default credentials")
    group.addoption("--costs", action="store_true", help="also run rows that cost more than a cent")
    group.addoption("--rows", default="", help="run only these rows, such as SN1,S33")
    group.addoption("--records", help="the file to which a line of JSON is appended for each test")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--collect-only"):
        config.stash[ACCOUNT] = Account(boto3.Session(), config.getoption("--costs"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect rows that were not chosen, must not run in an account, or cost too much."""
    chosen = set(filter(None, config.getoption("--rows").split(",")))
    wanted: list[pytest.Item] = []
    rest: list[pytest.Item] = []
    for item in items:
        if chosen and chosen.isdisjoint(rows_of(item)):
            rest.append(item)
            continue
        cost = cost_of(item)
        reason = why_never(item)
        if not reason and cost.usd and not config.getoption("--costs"):
            reason = f"it may cost more than a cent ({cost.what}); set COSTS=1 to run it"
        never = why_never(item) is not None
        outcome = "planned" if reason is None else "not run"
        _record(config, item, outcome, reason, cost=cost._asdict(), never=never)
        (wanted if reason is None else rest).append(item)
    config.hook.pytest_deselected(items=rest)
    items[:] = wanted


@pytest.fixture(autouse=True)
def _what_was_said(request: pytest.FixtureRequest) -> None:
    """Clear the answers of the previous test."""
    account = request.config.stash[ACCOUNT]
    account.calls.answers.clear()
    marker = request.node.get_closest_marker("provisions")
    if marker:
        limit = account.client("lambda").get_account_settings()["AccountLimit"]
        if limit["UnreservedConcurrentExecutions"] <= MIN_UNRESERVED:
            pytest.skip(
                f"the account has only {limit['UnreservedConcurrentExecutions']} unreserved executions"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call" or not report.passed:
        outcome = {"passed": "agrees", "skipped": "not run"}.get(report.outcome, "differs")
        if outcome == "differs" and report.when != "call":
            outcome = "error"
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(crash, "message", None)
        answers = item.config.stash[ACCOUNT].calls.answers
        _record(item.config, item, outcome, reason, answers=answers[-4:])
    return report


def _record(config: pytest.Config, item: pytest.Item, outcome: str, reason: str | None, **more: Any) -> None:
    path = config.getoption("--records")
    record = {"test": item.nodeid, "rows": rows_of(item), "outcome": outcome, "reason": reason, **more}
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
