"""A cleared run whose tasks have left their results behind takes nothing down, removes nothing and releases nothing.

Airflow deletes what a task has returned only when the task starts again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from pipeline_steps.results import ReleaseRefusedError, check_release

from include.pipeline import known_good, rollback, scaling
from include.pipeline.results import GoodRelease
from include.pipeline.settings import Project
from tests.dags.finished_tasks import StateStore, good_release, names_of, task_instance

REPOSITORY = Path(__file__).parents[2]
CANDIDATE, OTHER = "the candidate", "another model"
# What the tasks of a green run have returned.
GREEN: dict[str, Any] = {
    "preflight": {"bucket": "bucket"},
    "read_live": {"serving": None, "good": None, "scaling": None},
    "stage_data": {"uri": "s3://bucket/data"},
    "train": {"artifact": "s3://bucket/model.tar.gz"},
    "register": {"arn": "arn:candidate", "version": 1},
    "gate": {"accepted": True, "reason": "It is good.", "evaluation": {"live": None}},
    "record_approval": {"model": CANDIDATE},
    "choose_version": {"arn": "arn:chosen", "model": {"ModelName": CANDIDATE}},
    "smoke_test": {"accuracy": 1.0},
    "confirm": True,
}
# States of tasks after one of them was cleared with those after it, and failed.
FAILED_EARLY = {"train": "failed", "register": "upstream_failed", "record_approval": "upstream_failed"}


class Calls(list[Any]):
    """The calls that would change something in AWS."""

    def note(self, name: str, answer: Any = None) -> Any:
        return lambda *arguments, **_: self.append((name, *arguments[:2])) or answer


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr("pipeline_steps.results.aws_client", lambda service: service)
    monkeypatch.setattr(
        "pipeline_steps.results.PipelineResults.model", lambda self, project: {"ModelName": CANDIDATE}
    )
    monkeypatch.setattr(
        "pipeline_steps.verify_release.failures", lambda context: {"deploy_endpoint": "Unhealthy"}
    )
    monkeypatch.setattr(
        rollback,
        "roll_back",
        lambda project, before, *_: calls.append(("back", before)) or "PipelineResults.",
    )
    monkeypatch.setattr("include.pipeline.registry.set_approval", calls.note("decide"))
    monkeypatch.setattr("include.pipeline.registry.packages", lambda *_: [])
    monkeypatch.setattr("include.pipeline.smoke_test.run_smoke_test", lambda *_: None)
    monkeypatch.setattr(scaling, "read", lambda *_: None)
    return calls


def run_task(monkeypatch: pytest.MonkeyPatch, kind: str, task_id: str, states: dict[str, str]) -> Any:
    """Run the function of a task of ``sample`` in a run with these states."""
    context = {
        "ti": task_instance(GREEN, states),
        "task_state_store": StateStore(),
        "params": {"train_on": "sagemaker"},
        "run_id": "run",
    }
    # Not in the module run_results: Airflow's plugin manager puts another one in its place once it loads plugins.
    monkeypatch.setattr(
        "airflow.sdk.definitions._internal.contextmanager._get_current_context", lambda: context
    )
    function = dag(kind).get_task(task_id).python_callable
    monkeypatch.setitem(names_of(function), "aws_client", lambda service: service)
    return function()


def dag(kind: str) -> Any:
    return DagBag(str(REPOSITORY / "dags" / f"{kind}.py")).dags[f"sample.{kind}"]


def served(model: str) -> GoodRelease:
    return good_release(model=model, endpoint_config=f"configuration of {model}", function_version="3")


def test_a_run_that_was_cleared_and_failed_before_its_release_takes_nothing_back(
    monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    with pytest.raises(AirflowSkipException, match="The live model was not changed"):
        run_task(monkeypatch, "train_and_deploy", "rollback", FAILED_EARLY)
    assert calls == []


def test_a_cleared_rollback_that_failed_before_its_choice_undoes_nothing(
    monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    with pytest.raises(AirflowSkipException, match="The live model was not changed"):
        run_task(monkeypatch, "rollback", "undo", {"choose_version": "upstream_failed"})
    assert calls == []


def test_a_release_that_was_cleared_after_it_had_succeeded_goes_back_to_itself(
    monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    """In its first pass nothing served. Its own model is good since."""
    good = served(CANDIDATE)
    monkeypatch.setattr(known_good, "read", lambda *_: good)
    run_task(monkeypatch, "train_and_deploy", "rollback", {"deploy_endpoint": "failed"})
    assert calls == [("back", good)]  # and the model is not rejected


def test_a_release_that_was_cleared_after_another_had_gone_live_goes_back_to_that(
    monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    good = served(OTHER)
    monkeypatch.setattr(known_good, "read", lambda *_: good)
    run_task(monkeypatch, "train_and_deploy", "rollback", {"deploy_endpoint": "failed"})
    assert calls == [("back", good)]


def test_a_first_release_that_fails_is_rejected_and_removed(
    monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    monkeypatch.setattr(known_good, "read", lambda *_: None)
    run_task(monkeypatch, "train_and_deploy", "rollback", {"deploy_endpoint": "failed"})
    assert calls == [("decide", "arn:candidate", "Rejected"), ("back", None)]


@pytest.mark.parametrize(
    ("states", "good", "reason"),
    [
        pytest.param({}, None, None, id="first release"),
        pytest.param({}, CANDIDATE, None, id="again"),
        pytest.param({}, OTHER, "another model went live after this run", id="after another one"),
        pytest.param(
            {"record_approval": "skipped"},
            None,
            "This run has approved no model",
            id="not approved in this try",
        ),
    ],
)
def test_a_cleared_task_releases_only_what_was_approved_and_what_nothing_has_superseded(
    monkeypatch: pytest.MonkeyPatch,
    calls: Calls,
    states: dict[str, str],
    good: str | None,
    reason: str | None,
) -> None:
    monkeypatch.setattr(known_good, "read", lambda *_: good and served(good))
    context: Any = {"ti": task_instance(GREEN, states)}
    project = Project(name="birds", description="d")
    if reason is None:
        check_release(project)(context)
    else:
        with pytest.raises(ReleaseRefusedError, match=reason):
            check_release(project)(context)


@pytest.mark.parametrize("task_id", ["create_model", "deploy_endpoint", "move_alias"])
def test_each_step_that_changes_what_serves_checks_that_first(
    monkeypatch: pytest.MonkeyPatch, calls: Calls, task_id: str
) -> None:
    monkeypatch.setattr(known_good, "read", lambda *_: served(OTHER))
    with pytest.raises(ReleaseRefusedError):
        dag("train_and_deploy").get_task(task_id)._pre_execute_hook({"ti": task_instance(GREEN)})  # noqa: SLF001


def test_a_cleared_teardown_that_was_not_confirmed_again_removes_nothing() -> None:
    context: Any = {"ti": task_instance(GREEN, {"confirm": "upstream_failed"})}
    steps = [
        task
        for task in dag("teardown").tasks
        if task.task_id.startswith(("stop_", "terminate_", "delete_", "find_"))
    ]
    for step in steps:
        hook = step.partial_kwargs["pre_execute"] if step.is_mapped else step._pre_execute_hook  # noqa: SLF001
        with pytest.raises(AirflowSkipException, match="Nothing is deleted"):
            hook(context)
    assert len(steps) > 10
