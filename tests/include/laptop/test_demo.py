"""What the demo says: of the data set it is given, of tasks as they go, and at the end."""

import os
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.laptop.airflow_api import AirflowApi, TaskInstance
from include.laptop.demo import (
    DemoError,
    TaskProgress,
    check_project,
    dataset_address,
    run_demo,
    summary,
    wait_until_parsed,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
WAITING = TaskInstance("train", -1, "queued", 1, None, None)
RUNNING = replace(WAITING, state="running", start=BEGAN)
DEFERRED = replace(RUNNING, state="deferred")
DONE = replace(RUNNING, state="success", end=BEGAN + timedelta(seconds=12.34))


@pytest.mark.parametrize("address", ["s3://bucket/birds.zip", "https://example.org/birds.zip"])
def test_an_address_is_passed_on_as_it_is(address: str) -> None:
    assert dataset_address(address, []) == address


def test_a_relative_path_is_looked_for_where_the_user_stands(tmp_path: Path) -> None:
    (tmp_path / "my birds.zip").touch()
    found = dataset_address("my birds.zip", [tmp_path / "elsewhere", tmp_path])
    assert found == str((tmp_path / "my birds.zip").resolve())


def test_a_path_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"There is no DATASET=birds\.zip in"):
        dataset_address("birds.zip", [tmp_path, tmp_path])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("/dev/zero", "DATASET=/dev/zero is a device, a pipe or a socket"),
        ("pipe", "DATASET=pipe is a device, a pipe or a socket"),
        ("s3://", "DATASET=s3:// must be s3://<bucket>/<key>"),
        ("http://[/a.zip", "must be http"),
        ("~no_such_user_here/a.zip", "can't be read"),
        ("x" * 5000, "can't be read: .*File name too long"),
    ],
)
def test_a_data_set_that_can_be_none_is_refused(tmp_path: Path, dataset: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DemoError, match=message):
        dataset_address(dataset, [tmp_path])


@pytest.mark.parametrize(
    ("trace", "is_raised"), [("birds.yaml: wrong", False), ("fish.yaml: wrong\nbirds.yaml: wrong", True)]
)
def test_another_projects_broken_file_does_not_end_the_wait_for_a_dag(trace: str, is_raised: bool) -> None:
    answers = iter([False, True])
    api = SimpleNamespace(
        is_parsed=lambda _: next(answers), import_errors=lambda: {"dags/project_files.py": trace}
    )
    with pytest.raises(DemoError, match="could not be imported") if is_raised else nullcontext():
        wait_until_parsed(api, "fish.train_and_deploy")  # type: ignore[arg-type]


def test_an_unknown_project_is_refused_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "birds.yaml").touch()
    with pytest.raises(DemoError, match=r"no PROJECT=cats: .* has birds\."):
        check_project("cats", tmp_path)


def test_a_task_is_told_of_when_it_starts_and_when_it_ends() -> None:
    progress = TaskProgress()
    said = [progress.news([task]) for task in (WAITING, RUNNING, DEFERRED, RUNNING, DONE, DONE)]
    assert said == [[], ["train started"], [], [], ["train succeeded after 12.3 s"], []]


def test_a_second_try_is_told_of() -> None:
    progress = TaskProgress()
    retried = replace(RUNNING, state="up_for_retry")
    said = [progress.news([task]) for task in (RUNNING, retried, replace(RUNNING, try_number=2))]
    assert said == [["train started"], ["train failed and will be tried again"], ["train started"]]


def test_mapped_tasks_are_told_apart() -> None:
    tasks = [replace(RUNNING, map_index=index) for index in range(2)]
    assert TaskProgress().news(tasks) == ["train[0] started", "train[1] started"]


def test_the_summary_shows_each_prediction_and_where_the_report_is() -> None:
    request = {"truth": "001.circle", "label": "003.square", "probability": 0.51234, "milliseconds": 18.7}
    text = summary(
        {"accuracy": 0.0, "requests": [request]},
        {"test_accuracy": 0.987, "report": "s3://bucket/sample/runs/12:00+00/report.html", "trials": []},
        "http://127.0.0.1:5566",
    )
    assert "  001.circle  003.square  0.512        19" in text.splitlines()
    assert "  test accuracy        0.987" in text.splitlines()
    assert "http://127.0.0.1:5566/bucket/sample/runs/12%3A00%2B00/report.html" in text
    assert "trials" not in text


class RefusingAirflow(AirflowApi):
    """Runs a DAG whose gate lets nothing pass."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "admin", "password")
        self.conf: dict[str, Any] = {}

    def is_parsed(self, dag_id: str) -> bool:
        return True

    def unfinished_runs(self, dag_id: str) -> list[Any]:
        return []

    def unpause(self, dag_id: str) -> None:
        pass

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        self.conf = conf
        return "run-1"

    def run_state(self, dag_id: str, run_id: str) -> str:
        return "success"

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        return []

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        return {"report": {"outcome": "There are only 2 test images."}}.get(task_id)


def test_a_demo_releases_images_of_other_classes_and_says_why_it_released_nothing() -> None:
    airflow = RefusingAirflow()
    with pytest.raises(DemoError, match=r"deployed nothing\. There are only 2 test images\."):
        run_demo(airflow, "http://127.0.0.1:1", "sample", "/birds.zip", lambda line: None)
    assert airflow.conf == {
        "dataset": "/birds.zip",
        "allow_removed_classes": True,
        "allow_incomparable": True,
    }


def test_the_summary_says_on_what_the_accuracy_rests_and_which_classes_changed() -> None:
    report = {
        "test_accuracy": 0.987,
        "test_accuracy_interval": [0.9, 0.999],
        "test_images": 75,
        "removed_classes": ["beagle", "collie"],
        "added_classes": [],
    }
    lines = summary({"accuracy": 1.0, "requests": []}, report, "http://127.0.0.1:5566").splitlines()
    facts = {line[:26].strip(): line[26:] for line in lines}
    assert facts["test accuracy interval"] == "0.900 to 0.999"
    assert facts["test images"] == "75"
    assert facts["removed classes"] == "beagle, collie"
    assert "added classes" not in facts
