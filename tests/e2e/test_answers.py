"""Answers that are given as soon as the question can be read, in a live Airflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from include.laptop.airflow_api import AirflowApiError
from include.laptop.stack import Stack
from tests.e2e.dags.questions import QUESTIONS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

OPEN = """
SELECT task_instance.map_index FROM hitl_detail JOIN task_instance ON task_instance.id = hitl_detail.ti_id
WHERE task_instance.run_id = ? AND hitl_detail.responded_at IS NULL
"""


def test_no_answer_that_is_given_at_once_is_lost(
    impatient_stack: Stack, eventually: Callable[..., Any]
) -> None:
    """Each task acts on its answer, whether it was waiting for it already or not, and asks once.

    The test reads the open questions from Airflow's database, which shows them sooner than the API, and takes Airflow
    no time.
    """
    airflow = impatient_stack.api()
    eventually(lambda: airflow.is_parsed("questions"))
    run_id = airflow.trigger("questions", {})
    answers: dict[int, str] = {}

    database = (impatient_stack.paths.airflow_home / "airflow.db").as_uri()

    def answer_all() -> bool:
        with closing(sqlite3.connect(f"{database}?mode=ro", timeout=60, uri=True)) as connection:
            asked = [index for (index,) in connection.execute(OPEN, [run_id])]
        for index in asked:
            assert index not in answers, "An answer was lost: the question is asked again."
            choice = ("Approve", "Reject")[index % 2]
            try:
                airflow.answer("questions", run_id, "ask", choice, map_index=index)
            except AirflowApiError as error:  # SQLite was locked: the answer was refused, and is given again
                assert "Database error" in str(error)  # noqa: PT017
            else:
                answers[index] = choice
        # Not before: it takes Airflow half as long as the questions do.
        return len(answers) == QUESTIONS and airflow.run_state("questions", run_id) in ("success", "failed")

    eventually(answer_all, 600, pause=0.1)
    assert airflow.run_state("questions", run_id) == "success"
    assert len(answers) == QUESTIONS
    for task in airflow.task_instances("questions", run_id):
        acted_on = airflow.xcom("questions", run_id, "ask", task.map_index)
        assert acted_on["chosen_options"] == [answers[task.map_index]], task.map_index
    # A try may be lost because a busy machine sends no heartbeats, but not because its task was resumed at once.
    mismatches = airflow.events("questions", run_id, "state mismatch")
    assert [each for each in mismatches if "finished with state success" in each] == []
