"""What AWS stops to patch, and a stack that is too old, are told of by the tasks that use them."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.pipeline import (
    clock,
    concurrency_quota,
    infrastructure,
    known_good,
    live,
    quotas,
    registry,
    releases,
    support,
    workspace,
)
from include.pipeline.infrastructure import NEEDED_VERSION, Infrastructure, OldStackError
from include.pipeline.registry import ModelVersion
from include.pipeline.results import SmokeTestResult
from include.pipeline.support import SupportError
from tests.dags.finished_tasks import StateStore, live_release, names_of, task_instance

DAGS = Path(__file__).parents[2] / "dags"
DAY = datetime.timedelta(days=1)
MODEL = "sample-model-1"


class FakeClient(SimpleNamespace):
    """A client of any service in us-east-1."""

    meta = SimpleNamespace(region_name="us-east-1")
    get_caller_identity = None


class Task:
    """Runs the function of a task, with AWS replaced."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.today = support.table().checked
        self.stack = Infrastructure(
            bucket="bucket",
            sagemaker_role="arn:jobs",
            function_role="arn:function",
            workspace_role="arn:workspace",
            version=NEEDED_VERSION,
        )
        patch.setattr(clock, "ask", lambda call: {"Account": "123456789012"})
        patch.setattr(concurrency_quota, "check", lambda *_: None)
        patch.setattr(quotas, "check", lambda *_: None)
        patch.setattr(infrastructure, "read_infrastructure", lambda client: self.stack)

    def run(self, kind: str, task_id: str, returned: dict[str, Any] | None = None) -> Any:
        """Run it; the sentences that it has recorded are in ``said``."""
        ti = task_instance(returned or {})
        context = {
            "ti": ti,
            "task_state_store": StateStore(),
            "params": {"train_on": "sagemaker", "instance_count": 1, "version": "1", "action": "create"},
            "dag_run": SimpleNamespace(run_id="run", run_type="scheduled", conf={}, start_date=None),
            "run_id": "run",
        }
        dag = DagBag(str(DAGS / f"{kind}.py")).dags[f"sample.{kind}"]
        context["dag"] = dag
        self.patch.setattr(
            "airflow.sdk.definitions._internal.contextmanager._get_current_context", lambda: context
        )
        self.patch.setattr("pipeline_steps.results.aws_client", lambda service: FakeClient())
        function = dag.get_task(task_id).python_callable
        now = datetime.datetime.combine(self.today, datetime.time(12), datetime.UTC)
        for name, value in {"aws_client": lambda service: FakeClient(), "utcnow": lambda: now}.items():
            if name in names_of(function):
                self.patch.setitem(names_of(function), name, value)
        result = function()
        self.said = ti.pushed.get("verdict", "")
        return result


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    return Task(monkeypatch)


def first_end() -> datetime.date:
    """The first day on which AWS stops to patch what a run uses."""
    scopes = support.table().images
    ends = [images[0].patched_until for images in scopes.values() if images[0].patched_until]
    return min(ends)


def test_preflight_is_silent_while_everything_is_patched_for_long(task: Task) -> None:
    assert task.run("train_and_deploy", "preflight")["bucket"] == "bucket"
    assert task.said == ""


def test_preflight_warns_of_an_image_that_aws_stops_to_patch(task: Task) -> None:
    task.today = first_end() - 30 * DAY
    task.run("train_and_deploy", "preflight")
    assert f"on {first_end()}, in 30 days" in task.said


def test_preflight_refuses_an_image_that_aws_no_longer_patches(task: Task) -> None:
    task.today = first_end() + DAY
    with pytest.raises(SupportError, match=f"has not patched .* since {first_end()}"):
        task.run("train_and_deploy", "preflight")


def test_preflight_refuses_a_stack_that_is_too_old(task: Task) -> None:
    task.stack = task.stack.model_copy(update={"version": NEEDED_VERSION - 1})
    with pytest.raises(OldStackError, match=f"has version {NEEDED_VERSION - 1}"):
        task.run("train_and_deploy", "preflight")


def test_a_workspace_looks_at_its_platform(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = support.Used(what="the platform p", until=task.today + 10 * DAY, source="s", instead="Use q.")
    monkeypatch.setattr(support, "notebook_used", lambda platform: ending)
    monkeypatch.setattr(workspace, "upload", lambda *_: "s3://bucket/archive")
    task.run("workspace", "prepare")
    assert task.said.startswith("AWS stops patching the platform p on ")
    task.today += 11 * DAY
    with pytest.raises(SupportError, match="has not patched the platform p"):
        task.run("workspace", "prepare")


@pytest.mark.parametrize(
    ("tag", "warned"), [("pytorch-inference:2.6.0-cpu-py312", True), ("", False)], ids=["older", "current"]
)
def test_a_rollback_says_that_a_version_runs_in_an_older_image(
    task: Task, monkeypatch: pytest.MonkeyPatch, tag: str, warned: bool
) -> None:
    current = "1.dkr.ecr.us-east-1.amazonaws.com/ray:current"
    image = f"1.dkr.ecr.us-east-1.amazonaws.com/{tag}" if tag else current
    found = {"accuracy": "0.9", "inputs": "i", "function_version": "1", registry.RELEASED: "2026-11-24"}
    package = ModelVersion("arn", 1, "Approved", MODEL, {"Image": image}, found)
    monkeypatch.setattr(registry, "packages", lambda *_: [package])
    monkeypatch.setattr(releases, "current_image", lambda *_: current)
    monkeypatch.setattr(releases, "usable_function_version", lambda *_: "1")
    returned = {
        "preflight": task.stack.model_dump(),
        "read_live": {"serving": {"model": "sample-model-2", "function_version": "2"}},
    }
    chosen = task.run("rollback", "choose_version", returned)
    assert bool(chosen["warning"]) is warned
    assert ("AWS may no longer patch it" in task.said) is warned


def test_the_digest_of_the_image_is_noted_with_the_release(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(
        "pipeline_steps.results.PipelineResults.model", lambda self, project: {"ModelName": MODEL}
    )
    monkeypatch.setattr(live, "read_live", lambda *_: live_release(model=MODEL, function_version="3"))
    monkeypatch.setattr(live, "image_digest", lambda *_: "sha256:0a")
    monkeypatch.setattr(known_good, "note", lambda *_: None)
    monkeypatch.setattr(registry, "mark_released", lambda arn, version, _, *rest: noted.append(rest))
    answers = SmokeTestResult(accuracy=1.0, milliseconds_p95=1.0, requests=[], compared=0)
    monkeypatch.setattr("include.pipeline.smoke_test.run_smoke_test", lambda *_: answers)
    returned = {
        "preflight": {**task.stack.model_dump(), "region": "r", "account": "1"},
        "stage_data": {"uri": "s3://bucket/d", "fingerprint": "f"},
        "create_model": MODEL,
        "evaluate": {"output": "s3://bucket/e"},
        "register": {"arn": "arn"},
        "gate": {},
    }
    task.run("train_and_deploy", "smoke_test", returned)
    assert noted == [("sha256:0a",)]
