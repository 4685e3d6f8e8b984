"""Run a project's pipeline on the laptop, show how far it is, and the predictions of the model that it deployed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from include.laptop import last_screen, live_models
from include.laptop.airflow_api import POLL_SECONDS, POLLS_PER_LOOK, RUN_ENDED, AirflowApi, AirflowApiError
from include.laptop.calls import calls, local_credentials
from include.laptop.errors import LaptopError
from include.laptop.infrastructure import clients
from include.laptop.job_progress import JobProgress
from include.laptop.places import REPOSITORY, Places
from include.laptop.progress import UNDER_WAY, run_progress
from include.laptop.terminal import caller_folder, say, shown_path
from include.pipeline.addresses import check_address
from include.pipeline.names import ALIAS, function_name, split_s3_uri
from include.pipeline.page_urls import page_url
from include.pipeline.settings import Project, SettingsError, load_project

PROJECTS = REPOSITORY / "include" / "projects"
PARSED_WITHIN_SECONDS = 90
LAST_LOG_LINES = 15
# Whoever runs the demo wants to see their images served, whatever was live on the laptop before.
ALLOWED = {"allow_removed_classes": True, "allow_incomparable": True}
ADDRESS_SCHEMES = ("http://", "https://", "s3://")
NO_FUNCTION_URL = (
    "To call it with curl, set function.url to true in include/projects/{project}.yaml, wait 10 seconds, and run "
    "`make demo PROJECT={project}` again."
)


class DemoError(LaptopError):
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


def read_project(name: str, folder: Path = PROJECTS) -> Project:
    """Return the project of this name.

    :raises DemoError: if there is none, or its file is wrong.
    """
    projects = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in projects:
        raise DemoError(f"PROJECT={name[:100]} does not exist. {folder} has {', '.join(projects)}.")
    try:
        return load_project(folder / f"{name}.yaml")
    except SettingsError as error:
        raise DemoError(str(error)) from error


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


def watch(
    api: AirflowApi, dag_id: str, run_id: str, console: Console, jobs: JobProgress | None = None
) -> str:
    """Show a run until it ends, and the end of the log of each task that failed; return the run's state.

    :param jobs: looks how far the run's jobs are.
    """
    details: dict[str, str] = {}
    with run_progress(
        console, api.task_order(dag_id), lambda task: api.question_page(dag_id, run_id, task)
    ) as progress:
        for poll in itertools.count():
            # The state is read first, so that the tasks are those of the end when it is one.
            state = api.run_state(dag_id, run_id)
            tasks = api.task_instances(dag_id, run_id)
            if jobs and poll % POLLS_PER_LOOK == 0:
                details = jobs.of(task.task_id for task in tasks if task.state in UNDER_WAY)
            progress.update(tasks, details)
            if state in RUN_ENDED:
                break
            time.sleep(POLL_SECONDS)
    for task in tasks:
        if task.state == "failed":
            log = [line for line in api.log(dag_id, run_id, task) if not line.startswith("::")]
            say(console, f"{task.name} failed; all of its log: {api.task_page(dag_id, run_id, task)}")
            say(console, "\n".join(f"    {line}" for line in log[-LAST_LOG_LINES:]))
    return state


def run_demo(
    api: AirflowApi, places: Places, project: Project, dataset: str | None, console: Console
) -> None:
    """Run `<project>.train_and_deploy`, or watch the run that has not finished yet, and show what it deployed.

    :raises DemoError: if the run failed, or ended without an answer from the deployed model.
    """
    dag_id = f"{project.name}.train_and_deploy"
    wait_until_parsed(api, dag_id)
    unfinished = api.unfinished_runs(dag_id)
    if not unfinished:
        api.unpause(dag_id)
        run_id = api.trigger(dag_id, {**ALLOWED, **({"dataset": dataset} if dataset else {})})
        say(console, f"Started {run_id} of {dag_id}: {api.run_page(dag_id, run_id)}")
    else:
        run_id = unfinished[0].run_id
        ignored = "; DATASET is not used" if dataset else ""
        say(
            console,
            f"Watching {run_id} of {dag_id}, which has not finished{ignored}: {api.run_page(dag_id, run_id)}",
        )
    continues = f"The run continues: `make demo PROJECT={project.name}` watches it again."
    try:
        state = watch(api, dag_id, run_id, console, JobProgress(project.aws_name, clients(places.aws_url)))
    except AirflowApiError as error:
        raise DemoError(f"{error} {continues}") from error
    except KeyboardInterrupt:
        say(console, f"\n{continues} Its page: {api.run_page(dag_id, run_id)}")
        raise
    if state != "success":
        raise DemoError(f"The run ended {state}: {api.run_page(dag_id, run_id)}")
    smoke_test = api.xcom(dag_id, run_id, "smoke_test")
    report = api.xcom(dag_id, run_id, "report") or {}
    if not smoke_test or not smoke_test.get("requests"):
        why = " ".join(filter(None, [report.get("outcome"), report.get("now")]))
        raise DemoError(f"The run deployed nothing. {why} {api.run_page(dag_id, run_id)}")
    last_screen.show(console, finished(api, places, project, run_id))


def finished(api: AirflowApi, places: Places, project: Project, run_id: str) -> last_screen.Finished:
    """Return what the last screen shows of a run that has deployed a model."""
    dag_id = f"{project.name}.train_and_deploy"
    client = clients(places.aws_url)
    smoke_test = api.xcom(dag_id, run_id, "smoke_test")
    report = api.xcom(dag_id, run_id, "report") or {}
    live = live_models.read(project, client)
    function, alias = function_name(project), ALIAS
    url = live.url if live else None
    photo = save_photo(
        f"{api.xcom(dag_id, run_id, 'stage_data')['uri']}/{smoke_test['requests'][0]['image']}",
        places.state_dir / project.name,
        client("s3"),
    )
    made = calls(function, alias, shown_path(photo), url, shown_path(REPOSITORY / ".venv" / "bin" / "python"))
    return last_screen.Finished(
        project=project.name,
        smoke_test=smoke_test,
        report=report,
        live=live,
        seconds=api.run(dag_id, run_id).seconds,
        credentials=local_credentials(places.aws_url),
        calls=[call for call in made if url or call.name != "curl"],
        function_url_hint=None if url else NO_FUNCTION_URL.format(project=project.name),
        links=[
            ("Run in Airflow", api.run_page(dag_id, run_id)),
            *(
                (name, page_url(report[key], api.url))
                for name, key in (("Report", "report"), ("Evaluation", "evaluation_page"))
                if report.get(key)
            ),
        ],
    )


def save_photo(uri: str, stem: Path, s3: Any) -> Path:
    """Save a test image below the stack's folder, so that there is a photo to call the model with."""
    bucket, key = split_s3_uri(uri)
    path = stem.with_suffix(Path(key).suffix.lower())
    path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return path


def standing_folders() -> list[Path]:
    """Return the folder in which the user called make, and this one."""
    return [caller_folder(), Path.cwd()]
