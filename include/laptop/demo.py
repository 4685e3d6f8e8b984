"""Run a project's pipeline on the laptop, and show its progress and the predictions of the deployed model."""

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
from include.laptop.progress import UNDER_WAY, run_progress
from include.laptop.stack_paths import REPOSITORY, StackPaths
from include.laptop.terminal import caller_folder, say, shown_path
from include.pipeline.addresses import check_address
from include.pipeline.names import ALIAS, function_name, split_s3_uri
from include.pipeline.page_urls import page_url
from include.pipeline.project_files import load_project
from include.pipeline.results import ReleaseReport
from include.pipeline.settings import Project, SettingsError

PROJECTS = REPOSITORY / "include" / "projects"
PARSED_WITHIN_SECONDS = 90
LAST_LOG_LINES = 15
# Users of the demo want to see predictions for their images, whatever model was live on the laptop before.
ALLOWED = {"allow_removed_classes": True, "allow_incomparable": True}
ADDRESS_SCHEMES = ("http://", "https://", "s3://")
NO_FUNCTION_URL = (
    "To call the model with curl, set function.url to true in include/projects/{project}.yaml, wait 10 seconds, and "
    "run `make demo PROJECT={project}` again."
)


class DemoError(LaptopError):
    """The run could not be started or was not successful. The message says why."""


def dataset_address(dataset: str, folders: Sequence[Path]) -> str:
    """Return the value of DATASET for the pipeline: a URL unchanged, a path made absolute.

    A relative path is looked up in each of `folders`: the user's folder and the folder in which make works.

    :raises DemoError: If it is in none of them.
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
                f"DATASET={dataset} is a device, a pipe or a socket. Give a zip file or a folder on this machine, an "
                "http(s) URL or an S3 URI."
            )
        if exists:
            return str(path.resolve())
    looked = " or ".join(str(folder) for folder in dict.fromkeys(folders))
    raise DemoError(
        f"DATASET={dataset} does not exist in {looked}. Give a zip file or a folder on this machine, an http(s) URL "
        "or an S3 URI."
    )


def read_project(name: str, folder: Path = PROJECTS) -> Project:
    """Return the project of this name.

    :raises DemoError: If it does not exist, or its file is invalid.
    """
    projects = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in projects:
        raise DemoError(f"PROJECT={name[:100]} does not exist. {folder} has {', '.join(projects)}.")
    try:
        return load_project(folder / f"{name}.yaml")
    except SettingsError as error:
        raise DemoError(str(error)) from error


def wait_until_parsed(api: AirflowApi, dag_id: str, seconds: float = PARSED_WITHIN_SECONDS) -> None:
    """Wait until Airflow has parsed a DAG.

    :raises DemoError: With the import errors, if Airflow does not parse it within ``seconds``.
    """
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
                f"Airflow has no DAG {dag_id}. "
                + (
                    f"These files could not be imported:{broken}"
                    if errors
                    else f"Neither the DAG nor an import error appeared within {seconds:.0f} s."
                )
            )
        time.sleep(POLL_SECONDS)


def watch(
    api: AirflowApi,
    dag_id: str,
    run_id: str,
    console: Console,
    jobs: JobProgress | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> str:
    """Show a run until it ends, and the end of the log of each failed task; return the run's state.

    :param jobs: Read the progress of the run's jobs.
    """
    details: dict[str, str] = {}
    with run_progress(
        console, api.task_order(dag_id), lambda task: api.question_page(dag_id, run_id, task)
    ) as progress:
        for poll in itertools.count():
            # Read the state first, so that the tasks are final if the state is.
            state = api.run_state(dag_id, run_id)
            tasks = api.task_instances(dag_id, run_id)
            if jobs and poll % POLLS_PER_LOOK == 0:
                details = jobs.of(task.task_id for task in tasks if task.state in UNDER_WAY)
            progress.update(tasks, details)
            if state in RUN_ENDED:
                break
            time.sleep(poll_seconds)
    for task in tasks:
        if task.state == "failed":
            log = [line for line in api.log(dag_id, run_id, task) if not line.startswith("::")]
            say(console, f"{task.name} failed. Its complete log: {api.task_page(dag_id, run_id, task)}")
            say(console, "\n".join(f"    {line}" for line in log[-LAST_LOG_LINES:]))
    return state


def run_demo(
    api: AirflowApi, paths: StackPaths, project: Project, dataset: str | None, console: Console
) -> None:
    """Run `<project>.train_and_deploy`, or watch the unfinished run, and show what it has deployed.

    :raises DemoError: If the run failed, or ended without a prediction of the deployed model.
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
        state = watch(api, dag_id, run_id, console, JobProgress(project.aws_name, clients(paths.aws_url)))
    except AirflowApiError as error:
        raise DemoError(f"{error} {continues}") from error
    except KeyboardInterrupt:
        say(console, f"\n{continues} Its page: {api.run_page(dag_id, run_id)}")
        raise
    if state != "success":
        raise DemoError(f"The run ended {state}: {api.run_page(dag_id, run_id)}")
    last_screen.show(console, finished(api, paths, project, run_id))


def finished(api: AirflowApi, paths: StackPaths, project: Project, run_id: str) -> last_screen.Finished:
    """Return the data of the last screen.

    :raises DemoError: If the run has deployed no model.
    """
    dag_id = f"{project.name}.train_and_deploy"
    returned = api.xcom(dag_id, run_id, "report")
    report = ReleaseReport.model_validate(returned) if returned else None
    if not report or not report.smoke_test or not report.smoke_test.requests:
        why = f"{report.outcome} {report.now}" if report else "It has no report."
        raise DemoError(f"The run deployed nothing. {why} {api.run_page(dag_id, run_id)}")
    client = clients(paths.aws_url)
    live = live_models.read(project, client)
    function, alias = function_name(project), ALIAS
    url = live.url if live else None
    photo = save_photo(
        f"{report.data}/{report.smoke_test.requests[0].image}",
        paths.state_dir / project.name,
        client("s3"),
    )
    made = calls(function, alias, shown_path(photo), url, shown_path(REPOSITORY / ".venv" / "bin" / "python"))
    return last_screen.Finished(
        project=project.name,
        smoke_test=report.smoke_test,
        report=report,
        live=live,
        seconds=api.run(dag_id, run_id).seconds,
        credentials=local_credentials(paths.aws_url),
        calls=[call for call in made if url or call.name != "curl"],
        function_url_hint=None if url else NO_FUNCTION_URL.format(project=project.name),
        links=[
            ("Run in Airflow", api.run_page(dag_id, run_id)),
            *(
                (name, page_url(uri, api.url))
                for name, uri in (("Report", report.report), ("Evaluation", report.evaluation_page))
                if uri
            ),
        ],
    )


def save_photo(uri: str, stem: Path, s3: Any) -> Path:
    """Save a test image in the stack's folder, as a photo for calls of the model."""
    bucket, key = split_s3_uri(uri)
    path = stem.with_suffix(Path(key).suffix.lower())
    path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return path


def standing_folders() -> list[Path]:
    """Return the folder in which the user called make, and the current folder."""
    return [caller_folder(), Path.cwd()]
