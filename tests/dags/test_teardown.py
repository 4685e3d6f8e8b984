"""The teardown's steps, run by Airflow in this process against local AWS."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization

from include.pipeline import inventory, teardown
from include.pipeline.infrastructure import read_infrastructure
from tests.dags.finished_tasks import names_of, task_instance
from tests.e2e.pipeline import run_dag
from tests.include.pipeline.standing import Standing

REPOSITORY = Path(__file__).parents[2]
STEPS = [
    "delete_workspace",
    "delete_workspace_config",
    "stop_jobs",
    "terminate_instances",
    "delete_function",
    "deregister_scaling",
    "delete_endpoint",
    "find_endpoint_configs",
    "find_models",
    "delete_endpoint_configs",
    "delete_models",
    "delete_alarms",
    "delete_registry",
    "delete_data",
    "delete_logs",
    "delete_infrastructure",
    "verify",
]


def run(**conf: Any) -> Any:
    """Run the DAG to its end; returns the run."""
    dag = DagBag(str(REPOSITORY / "dags" / "teardown.py")).dags["sample.teardown"]
    for task in dag.tasks:
        task.retries = 0
    return run_dag(dag, run_conf=conf)


def states(dag_run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}


def names(standing: Standing) -> set[str]:
    bucket = read_infrastructure(standing.client("cloudformation")).bucket
    return {row.what for row in inventory.list_resources(standing.project, standing.client, bucket)}


def test_it_shows_first_refuses_without_the_name_and_then_leaves_nothing_however_often_it_runs(
    standing: Standing,
) -> None:
    standing.build()
    standing.make_workspace()
    before = names(standing)

    shown = run()
    assert states(shown) == {"find": "success", "confirm": "success", **dict.fromkeys(STEPS, "skipped")}
    assert names(standing) == before

    refused = run(dry_run=False, confirm="dog_breeds")
    assert str(refused.state) == "failed"
    assert states(refused) == {
        "find": "success",
        "confirm": "failed",
        **dict.fromkeys(STEPS, "skipped"),
        "verify": "failed",
    }
    assert names(standing) == before

    for _ in range(2):
        done = run(dry_run=False, confirm="sample", delete_registry=True, delete_data=True, delete_logs=True)
        assert str(done.state) == "success", states(done)
        assert names(standing) == {"infrastructure"}


def test_a_step_that_fails_keeps_no_other_from_being_done_and_is_named_at_the_end(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing.make_function()
    standing.make_model()

    def fail(*_: Any) -> int:
        raise RuntimeError("jobs can't be listed")

    with monkeypatch.context() as broken:
        broken.setattr(teardown, "stop_jobs", fail)
        ended = run(dry_run=False, confirm="sample")
    assert str(ended.state) == "failed"
    assert not names(standing) - {"data", "logs", "infrastructure"}
    failed = {task for task, state in states(ended).items() if state == "failed"}
    assert failed == {"stop_jobs", "verify"}
    (verify,) = [ti for ti in ended.get_task_instances() if ti.task_id == "verify"]
    assert verify.xcom_pull(task_ids="verify", key="failure") == (
        "LeftError: Step stop_jobs failed: RuntimeError: jobs can't be listed"
    )


@pytest.mark.parametrize(
    ("run_type", "wanted", "goes"),
    [("manual", True, True), ("manual", False, False), ("scheduled", True, False)],
)
def test_only_a_person_deletes_a_workspace(
    monkeypatch: pytest.MonkeyPatch, run_type: str, wanted: bool, goes: bool
) -> None:
    dag = DagBag(str(REPOSITORY / "dags" / "teardown.py")).dags["sample.teardown"]
    context = {
        "ti": task_instance({"confirm": True}),
        "params": {**dag.params, "delete_workspace": wanted},
        "dag_run": SimpleNamespace(run_type=run_type),
    }
    for task_id in ("delete_workspace", "delete_workspace_config"):
        before = dag.get_task(task_id)._pre_execute_hook  # noqa: SLF001
        if goes:
            before(context)
        else:
            with pytest.raises(AirflowSkipException, match="The workspace and its files are kept"):
                before(context)


@pytest.mark.parametrize(("ttl", "schedule"), [("", None), ("endpoint: {ttl_hours: 12}", "0 * * * *")])
def test_a_project_with_a_time_limit_is_looked_at_every_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ttl: str, schedule: str | None
) -> None:
    (tmp_path / "fish.yaml").write_text(f"name: fish\ndescription: x\n{ttl}\n")
    monkeypatch.setattr("include.pipeline.project_files.read_projects.__defaults__", (tmp_path,))
    dag = DagBag(str(REPOSITORY / "dags" / "teardown.py")).dags["fish.teardown"]
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert (
        (serialized.timetable.summary == schedule) if schedule else not serialized.timetable.can_be_scheduled
    )
    assert not dag.is_paused_upon_creation


@pytest.mark.parametrize(
    ("run_type", "reason"),
    [("scheduled", "Endpoint sample does not exist."), ("manual", "Dry run, nothing is deleted")],
)
def test_the_clock_asks_the_endpoint_where_a_person_is_asked_for_a_name(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, run_type: str, reason: str
) -> None:
    assert verdict_of_confirm(monkeypatch, run_type, releases=0).startswith(reason)


def test_a_dry_run_says_what_would_be_refused(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdict_of_confirm(monkeypatch, "manual", releases=1)
    assert (
        "A teardown would be rejected now: 3 runs of sample.train_and_deploy, rollback or workspace"
        in verdict
    )


def verdict_of_confirm(monkeypatch: pytest.MonkeyPatch, run_type: str, releases: int) -> str:
    """Return what the task says that does not go on, while so many runs of each other DAG are under way."""
    pushed: dict[str, str] = {}
    dag = DagBag(str(REPOSITORY / "dags" / "teardown.py")).dags["sample.teardown"]
    context = {
        "ti": SimpleNamespace(
            get_dr_count=lambda dag_id, states: releases,
            xcom_push=lambda key, value: pushed.update({key: value}),
        ),
        "params": dag.params.dump(),
        "dag_run": SimpleNamespace(run_type=run_type),
    }
    confirm = dag.get_task("confirm")
    monkeypatch.setitem(names_of(confirm.python_callable), "get_current_context", lambda: context)
    assert confirm.python_callable() is False
    return pushed["verdict"]
