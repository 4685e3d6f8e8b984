"""A task's verdict is logged at once, and kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from verdicts import record, skip

from tests.dags.finished_tasks import task_instance


@pytest.fixture
def context(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)
    return {"ti": task_instance({})}


def test_it_is_logged_before_its_details_and_kept(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    record(context, "100% of it is good.", "One detail.", "Another one.")
    assert caplog.messages == ["100% of it is good.", "One detail.", "Another one."]
    assert context["ti"].pushed == {"verdict": "100% of it is good."}


def test_it_is_not_printed(context: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow shows what a task prints after what the task logs, in a group that is collapsed."""
    record(context, "It is good.")
    assert capsys.readouterr().out == ""


def test_a_skipped_task_says_why_in_its_own_line(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AirflowSkipException, match="Nothing to do"):
        skip(context, "Nothing to do.")
    assert caplog.messages == ["Nothing to do."]
    assert context["ti"].pushed == {"verdict": "Nothing to do."}
