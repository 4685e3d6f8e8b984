"""Run a project's pipeline on the laptop, show how far it is, and print the predictions it ended with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.laptop.airflow_api import (
    POLL_SECONDS,
    RUN_ENDED,
    AirflowApi,
    TaskInstance,
)
from include.laptop.places import REPOSITORY
from include.pipeline.addresses import check_address

PROJECTS = REPOSITORY / "include" / "projects"
PARSED_WITHIN_SECONDS = 90
LAST_LOG_LINES = 15
# What of the report's return value is shown, in this order; the rest is in the report itself.
REPORTED = (
    "test_accuracy",
    "test_accuracy_interval",
    "test_images",
    "removed_classes",
    "added_classes",
    "outcome",
    "endpoint",
    "function",
    "report",
    "seconds",
)
# Whoever runs the demo wants to see their images served, whatever was live on the laptop before.
ALLOWED = {"allow_removed_classes": True, "allow_incomparable": True}
ADDRESS_SCHEMES = ("http://", "https://", "s3://")


class DemoError(RuntimeError):
    """The run could not be started, or did not prove itself; the message says why."""


def dataset_address(dataset: str, folders: Sequence[Path]) -> str:
    """Return what the pipeline is given for DATASET: an address as it is, a path made absolute.

    A relative path is looked for in each of `folders`: where the user stands, and where make works.
    Raises DemoError when it is in none.
    """
    if dataset.startswith(ADDRESS_SCHEMES):
        try:
            return check_address(dataset)
        except ValueError as error:
            raise DemoError(f"DATASET={dataset[:100]} {error}.") from None
    for folder in folders:
        try:
            path = folder / Path(dataset).expanduser()
            exists = path.exists()
        except (OSError, RuntimeError) as error:  # RuntimeError: the home of a user that does not exist
            raise DemoError(f"DATASET={dataset[:100]} can't be read: {error}.") from error
        if exists and not (path.is_file() or path.is_dir()):
            raise DemoError(
                f"DATASET={dataset} is a device, a pipe or a socket. Give a zip file, a folder, or an http(s) or s3 "
                "address."
            )
        if exists:
            return str(path.resolve())
    looked = " or ".join(str(folder) for folder in dict.fromkeys(folders))
    raise DemoError(
        f"There is no DATASET={dataset} in {looked}. It may be a zip file or a folder on this machine, "
        "or an http(s) or s3 address."
    )


def check_project(project: str, folder: Path = PROJECTS) -> None:
    """Raise DemoError when there is no such project."""
    projects = sorted(file.stem for file in folder.glob("*.yaml"))
    if project not in projects:
        raise DemoError(f"There is no PROJECT={project}: {folder} has {', '.join(projects)}.")


def wait_until_parsed(api: AirflowApi, dag_id: str, seconds: float = PARSED_WITHIN_SECONDS) -> None:
    """Wait until Airflow knows a DAG; raises DemoError with the import errors when it never does."""
    until = time.monotonic() + seconds
    while not api.is_parsed(dag_id):
        # Other projects' files may be broken.
        errors = {
            name: trace
            for name, trace in api.import_errors().items()
            if not name.endswith("project_files.py") or f"{dag_id.partition('.')[0]}.yaml" in trace
        }
        if errors or time.monotonic() > until:
            broken = "".join(f"\n{name}:\n{trace.rstrip()}" for name, trace in errors.items())
            raise DemoError(
                f"Airflow knows no DAG {dag_id}. "
                + (
                    f"These files could not be imported:{broken}"
                    if errors
                    else f"It did not appear within {seconds:.0f} s, nor did an import error."
                )
            )
        time.sleep(POLL_SECONDS)


@dataclass
class TaskProgress:
    """Turns what Airflow says of a run's tasks into one line per thing that happened."""

    _said: dict[str, tuple[str, int]] = field(default_factory=dict)

    def news(self, tasks: Sequence[TaskInstance]) -> list[str]:
        """Return a line for each task that started, ended, or waits, since the last call."""
        lines = []
        for task in tasks:
            stage = _stage(task)
            if stage is not None and self._said.get(task.name) != (stage, task.try_number):
                self._said[task.name] = (stage, task.try_number)
                lines.append(f"{task.name} {stage}{_duration(task)}")
        return lines


def watch(api: AirflowApi, dag_id: str, run_id: str, say: Callable[[str], None]) -> str:
    """Say what happens in a run until it ends; return the state in which it did."""
    progress = TaskProgress()
    began = time.monotonic()
    while True:
        # The state is asked first, so that the tasks are those of the end when it is one.
        state = api.run_state(dag_id, run_id)
        tasks = api.task_instances(dag_id, run_id)
        for line in progress.news(tasks):
            say(f"{time.monotonic() - began:6.0f} s  {line}")
        if state in RUN_ENDED:
            break
        time.sleep(POLL_SECONDS)
    for task in tasks:
        if task.state == "failed":
            log = [line for line in api.log(dag_id, run_id, task) if not line.startswith("::")]
            say(f"{task.name} failed; all of its log: {api.task_page(dag_id, run_id, task)}")
            say("\n".join(f"    {line}" for line in log[-LAST_LOG_LINES:]))
    return state


def run_demo(
    api: AirflowApi, aws_url: str, project: str, dataset: str | None, say: Callable[[str], None]
) -> None:
    """Run `<project>.train_and_deploy`, or watch the run that is already going on, and print what came of it.

    Raises DemoError when the run failed, or ended without an answer from the deployed model.
    """
    dag_id = f"{project}.train_and_deploy"
    wait_until_parsed(api, dag_id)
    unfinished = api.unfinished_runs(dag_id)
    if not unfinished:
        api.unpause(dag_id)
        run_id = api.trigger(dag_id, {**ALLOWED, **({"dataset": dataset} if dataset else {})})
        say(f"Started {run_id} of {dag_id}: {api.run_page(dag_id, run_id)}")
    else:
        run_id = unfinished[0].run_id
        ignored = "; DATASET is not used" if dataset else ""
        say(f"{run_id} of {dag_id} is going on already, here it is{ignored}: {api.run_page(dag_id, run_id)}")
    try:
        state = watch(api, dag_id, run_id, say)
    except KeyboardInterrupt:
        say(
            f"\nThe run goes on. `make demo PROJECT={project}` watches it again, so does "
            f"{api.run_page(dag_id, run_id)}; `make down` ends everything."
        )
        raise
    if state != "success":
        raise DemoError(f"The run ended {state}: {api.run_page(dag_id, run_id)}")
    smoke_test = api.xcom(dag_id, run_id, "smoke_test")
    report = api.xcom(dag_id, run_id, "report") or {}
    if not smoke_test or not smoke_test.get("requests"):
        outcome = report.get("outcome", f"{api.run_page(dag_id, run_id)} tells why.")
        raise DemoError(f"The run deployed nothing. {outcome}")
    say(summary(smoke_test, report, aws_url))


def summary(smoke_test: dict[str, Any], report: dict[str, Any], aws_url: str) -> str:
    """Return the table of the smoke test's requests, and what the report says in figures and addresses.

    Objects in the bucket of the local AWS at `aws_url` are given as addresses that a browser opens.
    """
    rows = [["true class", "answer", "probability", "ms"]]
    for request in smoke_test["requests"]:
        probability, milliseconds = f"{request['probability']:.3f}", f"{request['milliseconds']:.0f}"
        rows.append([str(request["truth"]), str(request["label"]), probability, milliseconds])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(["", *(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))]).rstrip()
        for row in rows
    ]
    facts = {"smoke_test_accuracy": smoke_test["accuracy"]}
    facts |= {name: report[name] for name in REPORTED if report.get(name) not in (None, [])}
    width = max(len(name) for name in facts)
    lines = [
        f"  {name.replace('_', ' '):<{width}}  {_figure(value, aws_url)}" for name, value in facts.items()
    ]
    return "\n".join(["", "Predictions that came through the Lambda function:", "", *table, "", *lines])


def standing_folders() -> list[Path]:
    """Return where the user stands: the folder make was called from (`make -C` changes it), and this one."""
    return [Path(os.environ.get("CALLER_FOLDER") or "."), Path.cwd()]


def _stage(task: TaskInstance) -> str | None:
    return {
        "running": "started",
        "deferred": "started",
        "awaiting_input": "waits for a person: see Required Actions in Airflow",
        "up_for_retry": "failed and will be tried again",
        "success": "succeeded",
        "failed": "failed",
        "skipped": "skipped",
    }.get(str(task.state))


def _duration(task: TaskInstance) -> str:
    if task.state in ("success", "failed") and task.seconds is not None:
        return f" after {task.seconds:.1f} s"
    return ""


def _figure(value: Any, aws_url: str) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        is_interval = all(isinstance(part, float) for part in value)
        return (" to " if is_interval else ", ").join(_figure(part, aws_url) for part in value)
    text = str(value)
    return browser_address(text, aws_url) if text.startswith("s3://") else text


def browser_address(uri: str, aws_url: str) -> str:
    """Return an address of an object in local AWS that a browser opens for a week: the bucket is private."""
    from include.laptop.infrastructure import client  # boto3: half a second

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    address = client("s3", aws_url).generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=7 * 24 * 3600
    )
    return str(address)
