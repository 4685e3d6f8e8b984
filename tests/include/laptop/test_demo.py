"""The messages of the demo about its data set and project, and about a run that deploys nothing."""

import io
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.laptop.airflow_api import AirflowApi, AirflowApiError, TaskInstance
from include.laptop.demo import DemoError, dataset_address, read_project, run_demo, wait_until_parsed
from include.laptop.stack_paths import StackPaths
from include.laptop.terminal import make_console
from tests.include.pipeline.pages import samples


@pytest.mark.parametrize("url", ["s3://bucket/birds.zip", "https://example.org/birds.zip"])
def test_url_is_passed_on_unchanged(url: str) -> None:
    assert dataset_address(url, []) == url


def test_relative_path_is_looked_up_in_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "my birds.zip").touch()
    found = dataset_address("my birds.zip", [tmp_path / "elsewhere", tmp_path])
    assert found == str((tmp_path / "my birds.zip").resolve())


def test_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"DATASET=birds\.zip does not exist in"):
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
def test_invalid_data_set_is_an_error(tmp_path: Path, dataset: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DemoError, match=message):
        dataset_address(dataset, [tmp_path])


@pytest.mark.parametrize(
    ("trace", "is_raised"), [("birds.yaml: wrong", False), ("fish.yaml: wrong\nbirds.yaml: wrong", True)]
)
def test_import_error_of_another_project_does_not_end_the_wait(trace: str, is_raised: bool) -> None:
    answers = iter([False, True])
    api = SimpleNamespace(
        is_parsed=lambda _: next(answers), import_errors=lambda: {"dags/project_files.py": trace}
    )
    with pytest.raises(DemoError, match="could not be imported") if is_raised else nullcontext():
        wait_until_parsed(api, "fish.train_and_deploy")  # type: ignore[arg-type]


def test_unknown_project_is_an_error_with_the_existing_ones(tmp_path: Path) -> None:
    (tmp_path / "birds.yaml").touch()
    with pytest.raises(DemoError, match=r"PROJECT=cats does not exist\. .* has birds\."):
        read_project("cats", tmp_path)


def test_invalid_project_file_is_an_error_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "birds.yaml").write_text("name: birds\nshade: blue\n")
    with pytest.raises(DemoError, match=r"birds\.yaml: .*shade is not a known key"):
        read_project("birds", tmp_path)


class RefusingAirflow(AirflowApi):
    """Runs a DAG whose gate rejects every candidate."""

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

    def task_order(self, dag_id: str) -> list[str]:
        return []

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        return []

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        report = samples.release(["owl", "wren"], smoke_test=None).model_copy(
            update={"outcome": "There are only 2 test images.", "now": "No model is live."}
        )
        return report.model_dump(mode="json") if task_id == "report" else None


def demo(airflow: AirflowApi, tmp_path: Path) -> str:
    """Run the demo of `sample`, and return its output."""
    printed = io.StringIO()
    paths = StackPaths(tmp_path, 1, 1)
    run_demo(airflow, paths, read_project("sample"), "/birds.zip", make_console(printed))
    return printed.getvalue()


def test_demo_allows_other_classes_and_reports_why_nothing_was_released(tmp_path: Path) -> None:
    airflow = RefusingAirflow()
    with pytest.raises(
        DemoError,
        match=r"deployed nothing\. There are only 2 test images\. No model is live\. http.*/runs/run-1",
    ):
        demo(airflow, tmp_path)
    assert airflow.conf == {
        "dataset": "/birds.zip",
        "allow_removed_classes": True,
        "allow_incomparable": True,
    }


class LostAirflow(RefusingAirflow):
    """Starts a run, and ends."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        raise AirflowApiError("Airflow's API server can't be reached.")


def test_lost_connection_reports_that_the_run_continues(tmp_path: Path) -> None:
    with pytest.raises(
        DemoError,
        match=r"can't be reached\. The run continues: `make demo PROJECT=sample` watches it again\.",
    ):
        demo(LostAirflow(), tmp_path)


class InterruptedAirflow(RefusingAirflow):
    """A run whose watcher presses Ctrl-C."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        raise KeyboardInterrupt


def test_interruption_reports_that_the_run_continues(tmp_path: Path) -> None:
    printed = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        run_demo(
            InterruptedAirflow(),
            StackPaths(tmp_path, 1, 1),
            read_project("sample"),
            None,
            make_console(printed),
        )
    assert "The run continues: `make demo PROJECT=sample` watches it again." in printed.getvalue()
