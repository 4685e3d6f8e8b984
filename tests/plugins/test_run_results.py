"""Results of other tasks are used only if those tasks have succeeded in their current try."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from run_results import ResultError, RunResults, as_json, to_json

from include.pipeline.results import (
    CostEstimate,
    GateDecision,
    ProcessingJob,
    SmokeTestResult,
    StagedData,
    TrainedModel,
    TuningResult,
)
from tests.dags.finished_tasks import task_instance
from tests.include.pipeline.pages import samples

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


def test_return_value_of_a_task_is_found() -> None:
    assert results().get("train", TrainedModel).artifact == "model.tar.gz"


def test_return_value_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = results()
    assert read.get("train", TrainedModel).artifact == "model.tar.gz"
    monkeypatch.setattr(read, "context", {})
    assert read.get("train", TrainedModel).artifact == "model.tar.gz"


@pytest.mark.parametrize(
    "state", ["skipped", "upstream_failed", "failed", "running", "queued", "up_for_retry"]
)
def test_return_value_of_an_earlier_try_is_ignored(state: str) -> None:
    assert results(train=state).find("train", TrainedModel) is None
    assert not results(train=state).succeeded("train")


def test_missing_task_has_no_return_value() -> None:
    assert results().find("features", TrainedModel) is None


def test_a_missing_result_is_an_error_that_says_which_task_to_clear() -> None:
    with pytest.raises(
        ResultError, match=r"The result of the task train is missing: .* Clear train with all tasks"
    ):
        results(train="skipped").get("train", TrainedModel)


def test_a_result_of_another_shape_is_an_error_that_says_which_task_to_clear() -> None:
    with pytest.raises(
        ResultError, match=r"task train can't be read \(output: Field required\)\. .* Clear train with"
    ):
        results().get("train", ProcessingJob)


def test_a_result_with_fields_of_another_version_can_be_read() -> None:
    context: Any = {"ti": task_instance({"train": {"artifact": "model.tar.gz", "metrics": {"loss": 0.1}}})}
    assert RunResults(context).get("train", TrainedModel).artifact == "model.tar.gz"


def test_a_step_returns_a_model_and_its_task_plain_json() -> None:
    @as_json
    def smoke_test() -> SmokeTestResult:
        """Its docstring is that of the task."""
        return SmokeTestResult(accuracy=1, requests=[])

    assert smoke_test() == {"accuracy": 1.0, "requests": []}  # and nothing that the step has not stated
    assert smoke_test.__doc__ == "Its docstring is that of the task."
    job = ProcessingJob(name="n", output="o")
    assert to_json([job, None]) == [{"name": "n", "output": "o"}, None]


def test_only_run_results_reads_the_results_of_tasks() -> None:
    files = [path for folder in ("dags", "plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    readers = {
        str(path.relative_to(REPOSITORY))
        for path in files
        if re.search(r"xcom_pull|XCom\.get|GetXCom", path.read_text(encoding="utf-8"))
    }
    assert readers == READERS


@pytest.mark.parametrize(
    ("task_id", "kind"),
    [
        ("stage_data", StagedData),
        ("tune", TuningResult),
        ("gate", GateDecision),
        ("smoke_test", SmokeTestResult),
        ("estimate_cost", CostEstimate),
    ],
)
def test_what_a_step_returns_is_what_another_reads(task_id: str, kind: type[Any]) -> None:
    returned = kind.model_validate(samples.results(samples.classes(3))[task_id])
    stored = json.loads(json.dumps(to_json(returned)))
    context: Any = {"ti": task_instance({task_id: stored})}
    assert RunResults(context).get(task_id, kind) == returned
