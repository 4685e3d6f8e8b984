"""The tasks that decide: what each decided is the first line of its log, written before the task returns."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from run_results import RunResults

from include.pipeline import known_good, live, registry, rollback
from include.pipeline.cost import CostError
from include.pipeline.data import staging
from include.pipeline.data.errors import DatasetError
from include.pipeline.results import (
    CostEstimate,
    Evaluation,
    ReleaseState,
    SmokeTestRequest,
    SmokeTestResult,
    StagedData,
)
from tests.dags.finished_tasks import COMPLETE, StateStore, live_release, names_of, task_instance

REPOSITORY = Path(__file__).parents[2]
MODEL = "sample-model-1"
FIGURES = {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "size_bytes": 1, "milliseconds_p95": 9}
EVALUATION = {"images": 75, "classes": ["owl"], "candidate": FIGURES, "live": FIGURES}
ESTIMATE = CostEstimate.model_validate(
    {
        "steps": [{"step": "tune", "instance_type": "ml.m5.large", "at_most_usd": 2.0, "last_usd": None}],
        "at_most_usd": 2.0,
        "last_usd": None,
        "monthly": [{"what": "1 x ml.m5.large of the endpoint", "usd": 84.0}],
        "monthly_usd": 84.0,
        "thousand_calls_usd": 0.01,
    }
)
RETURNED: dict[str, Any] = {
    "preflight": {},
    "stage_data": {"uri": "s3://bucket/sample/data/f", "fingerprint": "f"},
    "package_code": {"sha256": "c"},
    "read_live": {"serving": {"model": MODEL}, "good": None, "scaling": None},
    "evaluate": {"output": "s3://bucket/evaluation"},
    "register": {"arn": "arn:candidate", "version": 1, "approval_status": "PendingManualApproval"},
    "gate": {
        "accepted": True,
        "reason": "It is good.",
        "candidate": {"model": MODEL, "package": "arn", "version": 1, "evaluation": "e"},
        "evaluation": {"candidate": FIGURES, "live": None},
    },
    "create_model": MODEL,
}
ANSWER = {
    "chosen_options": ["Approve"],
    "responded_by_user": {"id": "1", "name": "anna"},
    "responded_at": "2026-11-29T12:00:00",
    "about": RETURNED["gate"]["candidate"],
}
PARAMS = {
    "dataset": "generated",
    "train_on": "sagemaker",
    "instance_count": 1,
    "retrain": False,
    "require_approval": False,
    "allow_removed_classes": False,
    "allow_incomparable": False,
    "max_cost_usd": None,
}


class Task:
    """Runs the function of a task of ``sample.train_and_deploy``, with AWS replaced."""

    def __init__(self, patch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.patch, self.caplog = patch, caplog
        self.decided: list[tuple[str, str]] = []
        """The approvals that were set on the model package, each with its reason."""
        caplog.set_level(logging.INFO)
        patch.setattr(
            "pipeline_steps.results.PipelineResults.model", lambda self, project: {"ModelName": MODEL}
        )
        patch.setattr("pipeline_steps.results.aws_client", lambda service: service)
        patch.setattr(live, "read_live", lambda *_: None)
        patch.setattr(
            "include.pipeline.gate.read_evaluation", lambda *_: Evaluation.model_validate(EVALUATION)
        )
        patch.setattr("include.pipeline.evaluation_report.update", lambda *_, **__: None)
        patch.setattr(registry, "judge", lambda *_: None)
        patch.setattr(
            registry, "set_approval", lambda arn, status, why, _: self.decided.append((status, why))
        )

    def run(self, task_id: str, returned: dict[str, Any] | None = None, **params: Any) -> Any:
        """Run it, and return what its task instance has pushed."""
        dag = DagBag(str(REPOSITORY / "dags" / "train_and_deploy.py")).dags["sample.train_and_deploy"]
        self.ti = task_instance(RETURNED | (returned or {}))
        self.ti.get_dr_count = lambda **_: 0
        self.ti.log_url = "https://airflow.example.com/dags/sample.train_and_deploy/runs/run/tasks/task"
        context = {
            "ti": self.ti,
            "task_state_store": StateStore(),
            "dag": dag,
            "dag_run": SimpleNamespace(run_id="run", run_type="scheduled", conf={}, start_date=None),
            "params": PARAMS | params,
            "run_id": "run",
        }
        self.patch.setattr(
            "airflow.sdk.definitions._internal.contextmanager._get_current_context", lambda: context
        )
        function = dag.get_task(task_id).python_callable
        self.patch.setitem(names_of(function), "aws_client", lambda service: service)
        return function()

    @property
    def first_line(self) -> str:
        """The first line of the log, which has to be the verdict that is kept."""
        first: str = self.caplog.messages[0]
        assert self.ti.pushed["verdict"] == first
        return first


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Task:
    return Task(monkeypatch, caplog)


def test_cost(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.pipeline.cost.estimate", lambda *_: ESTIMATE)
    task.run("estimate_cost")
    assert task.first_line == (
        "The run costs at most $2.00; no limit is set (max_cost_usd). What it leaves running costs $84.00 per month."
    )
    assert "tune: $2.00, unknown" in task.caplog.messages


def test_cost_above_the_limit_of_the_form(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.pipeline.cost.estimate", lambda *_: ESTIMATE)
    with pytest.raises(CostError, match=r"could cost \$2.00"):
        task.run("estimate_cost", max_cost_usd=1.5)
    assert "at most $2.00; the limit is $1.50." in task.first_line


def test_data(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def stage(*_: Any, judged: Any, **__: Any) -> StagedData:
        judged("The data set can be used.")
        return StagedData.model_validate(COMPLETE["stage_data"])

    monkeypatch.setattr(staging, "stage", stage)
    monkeypatch.setattr("pipeline_steps.prepare.AwsBaseHook", lambda **_: FakeHook())
    task.run("stage_data")
    assert task.first_line == "The data set can be used."


def test_data_that_cant_be_used(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def stage(*_: Any, judged: Any, **__: Any) -> StagedData:
        judged("The data set can't be used. Too few.")
        raise DatasetError("Too few.", report=None)

    monkeypatch.setattr(staging, "stage", stage)
    monkeypatch.setattr("pipeline_steps.prepare.AwsBaseHook", lambda **_: FakeHook())
    with pytest.raises(DatasetError):
        task.run("stage_data")
    assert task.first_line == "The data set can't be used. Too few."


def test_a_look_for_what_is_unproved(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "take_back_unproved", lambda *_: None)
    monkeypatch.setattr(
        known_good, "read_state", lambda *_: ReleaseState(serving=None, good=None, scaling=None)
    )
    task.run("read_live")
    assert task.first_line == "No earlier run has left a release that has not passed its smoke test."


def test_nothing_to_do(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "reason_to_stop", lambda *_: "Nothing to do.")
    with pytest.raises(AirflowSkipException):
        task.run("check_for_changes")
    assert task.first_line == "Nothing to do."


@pytest.mark.parametrize(
    ("floor", "serving", "verdict"),
    [
        pytest.param(0.8, None, "Accepted. The candidate's accuracy is 0.900 on 75", id="accepted"),
        pytest.param(0.8, MODEL, "Accepted. The candidate is identical to the live model.", id="live"),
    ],
)
def test_gate(
    task: Task, monkeypatch: pytest.MonkeyPatch, floor: float, serving: str | None, verdict: str
) -> None:
    evaluation = EVALUATION if serving else {**EVALUATION, "live": None}
    monkeypatch.setattr(
        "include.pipeline.gate.read_evaluation", lambda *_: Evaluation.model_validate(evaluation)
    )
    monkeypatch.setattr(live, "read_live", lambda *_: serving and live_release(model=serving))
    judged = task.run("gate")
    assert task.first_line.startswith(verdict)
    assert judged["is_live"] is (serving is not None)


def test_a_gate_that_rejects(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = {**EVALUATION, "candidate": {**FIGURES, "accuracy": 0.5}, "live": None}
    monkeypatch.setattr("include.pipeline.gate.read_evaluation", lambda *_: Evaluation.model_validate(weak))
    task.run("gate")
    assert task.first_line.startswith("Rejected. The candidate's accuracy 0.500 is below the floor of 0.800")


def test_the_gate_links_to_the_page_that_it_judges_by(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    read = RunResults.pushed
    stored = {("evaluate", "evaluation_report"): "the page"}
    monkeypatch.setattr(
        "pipeline_steps.results.PipelineResults.pushed",
        lambda self, task_id, key: stored.get((task_id, key)) or read(self, task_id, key),
    )
    task.run("gate")
    assert task.ti.pushed["evaluation_report"] == "the page"


def test_an_approval(task: Task) -> None:
    assert task.run("record_approval", {"approve": ANSWER}, require_approval=True)
    assert task.first_line == "Approved by anna at 2026-11-29T12:00:00."
    assert task.decided == [("Approved", "Approved by anna at 2026-11-29T12:00:00. It is good.")]


def test_a_requested_approval_of_the_live_model_says_why_nobody_was_asked(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "read_live", lambda *_: live_release(model=MODEL))
    assert task.run("record_approval", require_approval=True)
    sentence = "Approval was requested, but nobody was asked. This model is live already."
    assert task.first_line == sentence
    assert task.ti.pushed["answer"] == sentence  # which the report shows
    assert task.decided == [("Approved", f"{sentence} It is good.")]


def test_without_a_request_nobody_is_asked_and_the_report_says_nothing_of_it(task: Task) -> None:
    assert task.run("record_approval")
    assert task.first_line == "No approval is needed: neither the project nor this run requires it."
    assert "answer" not in task.ti.pushed
    assert task.decided == []


def test_a_rejected_candidate_needs_no_approval(task: Task) -> None:
    gate = {**RETURNED["gate"], "accepted": False, "reason": "Too weak."}
    assert task.run("record_approval", {"gate": gate}) is None
    assert task.first_line == "No approval is needed: the gate has rejected the candidate. Too weak."


def test_a_smoke_test(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [
        SmokeTestRequest(truth="owl", label=label, probability=0.9, milliseconds=41.6)
        for label in ("owl", "wren")
    ]
    found = SmokeTestResult(
        accuracy=0.5, milliseconds_p95=41.6, requests=requests, compared=2, largest_difference=1.19e-07
    )
    asked: list[Any] = []
    monkeypatch.setattr(
        "include.pipeline.smoke_test.run_smoke_test", lambda *given: asked.append(given[1]) or found
    )
    gate = {**RETURNED["gate"], "evaluation": {"candidate": FIGURES}}
    task.run("smoke_test", {"gate": gate})
    assert asked[0].answers == f"{RETURNED['evaluate']['output']}/answers.json"
    assert task.first_line == (
        f"Passed: {MODEL} is live, and 1 of 2 predictions for test images are correct. Evaluation recorded "
        "the answers to 2 of them; the probabilities differ by 1.2e-07 at most. 95 % of the calls took at most 42 ms."
    )


def test_a_rollback_ends_with_what_is_live_now(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline_steps.verify_release.failures", lambda context: {"deploy_endpoint": "Unhealthy"}
    )
    monkeypatch.setattr(known_good, "read", lambda *_: None)
    monkeypatch.setattr(known_good, "scaling", lambda *_: None)
    monkeypatch.setattr(known_good, "superseded", lambda *_: None)
    monkeypatch.setattr(rollback, "roll_back", lambda *_: "The endpoint was removed.")
    task.run("rollback", {"record_approval": {"model": MODEL}})
    cause = "deploy_endpoint failed: Unhealthy."
    assert task.caplog.messages == [cause, f"The endpoint was removed. {cause}"]
    assert task.ti.pushed["verdict"] == f"The endpoint was removed. {cause}"


def test_no_task_repeats_its_result_in_its_log() -> None:
    for dag in DagBag(str(REPOSITORY / "dags")).dags.values():
        shown = [task.task_id for task in dag.tasks if getattr(task, "show_return_value_in_logs", False)]
        assert shown == [], dag.dag_id


class FakeHook:
    """The hook of S3, whose client is not called."""

    def get_conn(self) -> Any:
        return None

    def get_session(self) -> Any:
        return SimpleNamespace(get_credentials=lambda: None)
