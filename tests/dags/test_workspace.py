"""The workspace's form, its branches, and what becomes of a notebook instance; tests/e2e makes one and works in it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.pipeline import inventory
from tests.dags.finished_tasks import names_of
from tests.e2e.pipeline import run_dag
from tests.include.pipeline.standing import Standing

REPOSITORY = Path(__file__).parents[2]
TASKS = {
    "create": {"prepare", "put_lifecycle_config", "create_instance"},
    "start": {"start_instance"},
    "stop": {"stop_instance"},
    "delete": {"delete_instance", "delete_lifecycle_config"},
}


@pytest.fixture(scope="module")
def dag() -> Any:
    return DagBag(str(REPOSITORY / "dags" / "workspace.py")).dags["sample.workspace"]


def test_the_form_offers_the_actions_and_nothing_else(dag: Any) -> None:
    assert list(dag.params) == ["action"]
    action = dag.params.get_param("action")
    assert (action.value, action.schema["enum"]) == ("create", list(TASKS))
    assert list(action.schema["values_display"]) == list(TASKS)


@pytest.mark.parametrize("action", TASKS)
def test_an_action_is_done_by_its_own_tasks(dag: Any, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    choose = dag.get_task("choose")
    run = SimpleNamespace(conf={"action": action})
    context = {"params": {"action": action}, "ti": SimpleNamespace(), "dag": dag, "dag_run": run}
    monkeypatch.setitem(names_of(choose.python_callable), "get_current_context", lambda: context)
    first = dag.get_task(choose.python_callable())
    assert {first.task_id} | first.get_flat_relative_ids(upstream=False) == TASKS[action]


def test_waiting_holds_no_worker(dag: Any) -> None:
    assert {task.task_id for task in dag.tasks if getattr(task, "deferrable", False)} == {
        f"{action}_instance" for action in TASKS
    }


def test_a_notebook_instance_stops_starts_and_goes_as_the_form_says(standing: Standing, dag: Any) -> None:
    standing.make_workspace(script="true")
    found = {}
    for action in ("stop", "start", "delete"):
        ended = run_dag(dag, run_conf={"action": action})
        assert str(ended.state) == "success", action
        instance = inventory.notebook_instance(standing.project, standing.client("sagemaker"))
        found[action] = instance and instance["NotebookInstanceStatus"]
    assert found == {"stop": "Stopped", "start": "InService", "delete": None}
