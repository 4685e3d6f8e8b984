"""Results of other tasks count only where those tasks have succeeded in their current try."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from run_results import RunResults

from tests.dags.finished_tasks import task_instance

REPOSITORY = Path(__file__).parents[2]
# The one that guards the results, the one that reads why failed tasks have failed, and the links that a task shows of
# itself.
READERS = {
    "plugins/run_results.py",
    "plugins/amazon_ml/notifications/failures.py",
    "plugins/project_pages/links.py",
}


def results(**states: str) -> RunResults:
    context: Any = {"ti": task_instance({"train": {"artifact": "model.tar.gz"}}, states)}
    return RunResults(context)


def test_what_a_task_has_returned_is_found() -> None:
    assert results()["train"]["artifact"] == "model.tar.gz"


@pytest.mark.parametrize(
    "state", ["skipped", "upstream_failed", "failed", "running", "queued", "up_for_retry"]
)
def test_what_an_earlier_try_has_returned_does_not_count(state: str) -> None:
    assert results(train=state)["train"] is None
    assert not results(train=state).succeeded("train")


def test_a_task_that_does_not_exist_has_returned_nothing() -> None:
    assert results()["features"] is None


def test_no_other_code_reads_the_results_of_tasks() -> None:
    files = [path for folder in ("dags", "plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    readers = {
        str(path.relative_to(REPOSITORY))
        for path in files
        if re.search(r"xcom_pull|XCom\.get|GetXCom", path.read_text(encoding="utf-8"))
    }
    assert readers == READERS
