"""The verdict of a task is logged immediately and stored."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from verdicts import record, skip

from tests.dags.finished_tasks import task_instance

REPOSITORY = Path(__file__).parents[2]
COMMANDS = {"plugins/upstream_guards/catalog.py"}
"""Run from a terminal, and not by a task."""


@pytest.fixture
def context(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)
    return {"ti": task_instance({})}


def test_verdict_is_logged_before_its_details_and_stored(
    context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record(context, "100% of it is good.", "One detail.", "Another one.")
    assert caplog.messages == ["100% of it is good.", "One detail.", "Another one."]
    assert context["ti"].pushed == {"verdict": "100% of it is good."}


def test_verdict_is_not_printed(context: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow shows what a task prints after what the task logs, in a group that is collapsed."""
    record(context, "It is good.")
    assert capsys.readouterr().out == ""


def test_skipped_task_logs_the_reason_in_a_separate_line(
    context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AirflowSkipException, match="Nothing to do"):
        skip(context, "Nothing to do.")
    assert caplog.messages == ["Nothing to do."]
    assert context["ti"].pushed == {"verdict": "Nothing to do."}


def test_code_of_tasks_does_not_print() -> None:
    printing = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("dags", "plugins", "include/pipeline")
        for path in (REPOSITORY / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printing <= COMMANDS
