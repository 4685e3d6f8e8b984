"""Show what is running on this laptop, which models are live, open questions, and what to do next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.laptop import live_models
from include.laptop.airflow_api import AirflowApi
from include.laptop.credentials import ADMIN, passwords
from include.laptop.dag_runs import DagRun, TaskInstance
from include.laptop.errors import LaptopError
from include.laptop.infrastructure import clients
from include.laptop.live_models import LiveModel
from include.laptop.stack import AIRFLOW_COMPONENTS, Stack
from include.laptop.stack_paths import StackPaths
from include.laptop.supervision import Component
from include.laptop.terminal import clock_time, duration, mark, say, shown_path
from include.laptop.terminal import show as show_table
from include.pipeline.project_files import PROJECTS_FOLDER, read_projects

AIRFLOW = "Airflow's API server"
AWS = "Local AWS"
ANSWER_SECONDS = 3.0
"""The timeout of one request."""
ALL_SECONDS = 5.0
"""The timeout of all requests together."""
# The names of the programs with a heartbeat in Airflow's health check.
HEARTBEATS = {name.replace("_", "-"): name for name in AIRFLOW_COMPONENTS if name != "metadatabase"}
PORTS = {"local-aws": "aws_port", "api-server": "airflow_port"}


@dataclass(frozen=True)
class Question:
    """A question that waits for an answer."""

    run: str
    subject: str
    asked: datetime
    url: str


@dataclass(frozen=True)
class Work:
    """The unfinished work of Airflow.

    :param steps: The current tasks of each unfinished run, by run ID.
    :param broken_files: The DAG files that can't be imported, each with the reason.
    """

    runs: list[DagRun] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    broken_files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AwsState:
    """The live models on local AWS, by project; None for a project without one."""

    live: dict[str, LiveModel | None]
    broken_projects: list[str]


@dataclass(frozen=True)
class Status:
    """The status of a stack. A part that did not respond is an error message; None if the stack is not running.

    :param airflow_health: The response of Airflow's health check: the state of each component by name.
    :param aws_health: The response of local AWS's health check.
    :param left_behind: The number of processes that run without a supervisord.
    """

    paths: StackPaths
    components: list[Component]
    airflow_health: dict[str, Any] | str | None = None
    aws_health: dict[str, Any] | str | None = None
    work: Work | str | None = None
    aws: AwsState | str | None = None
    left_behind: int = 0
    is_changing: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the stack was started."""
        return bool(self.components)

    @property
    def is_healthy(self) -> bool:
        """Whether all components are healthy; true if the stack is not running."""
        if not self.is_running:
            return self.left_behind == 0
        return not self.silence and all(trouble(self, component) is None for component in self.components)

    @property
    def silence(self) -> list[str]:
        """The error messages of the parts that did not respond."""
        answers = (self.airflow_health, self.aws_health, self.work, self.aws)
        return list(dict.fromkeys(answer for answer in answers if isinstance(answer, str)))


def read(stack: Stack, answer_seconds: float = ANSWER_SECONDS, all_seconds: float = ALL_SECONDS) -> Status:
    """Return the status of a stack within `all_seconds`, even if a component hangs. Start and change nothing.

    :param answer_seconds: The timeout of one request.
    """
    supervision = stack.supervision
    if not supervision.is_running():
        left = len(supervision.processes())
        return Status(stack.paths, [], left_behind=left, is_changing=stack.is_changing())
    paths = stack.paths
    airflow_health, aws_health, work, aws = within(
        all_seconds,
        (AIRFLOW, lambda: _health(f"{paths.airflow_url}/api/v2/monitor/health", AIRFLOW, answer_seconds)),
        (AWS, lambda: _health(f"{paths.aws_url}/_local_aws/health", AWS, answer_seconds)),
        (f"{AIRFLOW} (runs and questions)", lambda: read_work(paths, answer_seconds)),
        (f"{AWS} (live models)", lambda: read_aws(paths, answer_seconds)),
    )
    components = supervision.components()
    return Status(paths, components, airflow_health, aws_health, work, aws, is_changing=stack.is_changing())


def within(seconds: float, *parts: tuple[str, Callable[[], Any]]) -> list[Any]:
    """Call functions in parallel; return their results, or an error message for each that fails or times out.

    :param parts: The name of the called component, and the function.
    """
    answers: list[Any] = [f"{name} did not respond within {seconds:g} s." for name, _ in parts]

    def call(number: int, function: Callable[[], Any]) -> None:
        try:
            answers[number] = function()
        except Exception as error:
            answers[number] = str(error) if isinstance(error, LaptopError) else f"{parts[number][0]}: {error}"

    # Daemon threads do not keep this process alive.
    threads = [
        threading.Thread(target=call, args=(number, function), daemon=True)
        for number, (_, function) in enumerate(parts)
    ]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return list(answers)


def read_work(paths: StackPaths, timeout: float) -> Work:
    """Return Airflow's unfinished runs, its open questions, and the DAG files that it can't import.

    :param timeout: The timeout of each request, in seconds.
    :raises LaptopError: If Airflow does not respond.
    """
    if not paths.passwords_file.exists():  # reading it would create it
        raise LaptopError(
            f"{paths.passwords_file} does not exist. Run `make down` and `make up` to create it again."
        )
    api = AirflowApi(paths.airflow_url, ADMIN, passwords(paths.passwords_file)[ADMIN], timeout)
    runs = api.unfinished_runs()
    return Work(
        runs=runs,
        steps={run.run_id: _steps(api, run) for run in runs},
        questions=[_question(api, found) for found in api.open_questions()],
        broken_files=[
            f"{file}: {trace.rstrip().rpartition(chr(10))[2]}"
            for file, trace in api.import_errors().items()
            if not file.endswith("project_files.py")  # which reports errors of project files
        ],
    )


def read_aws(paths: StackPaths, timeout: float, folder: Path = PROJECTS_FOLDER) -> AwsState:
    """Return the live model on local AWS of every project.

    :param timeout: The timeout of each request, in seconds.
    :raises LaptopError: If local AWS does not respond.
    """
    found, errors = read_projects(folder)
    options = {"connect_timeout": timeout, "read_timeout": timeout, "retries": {"total_max_attempts": 1}}
    service = clients(paths.aws_url, **options)
    try:
        live = {project.name: live_models.read(project, service) for project in found}
    except (BotoCoreError, ClientError) as error:
        raise LaptopError(
            f"The live models can't be read from local AWS at {paths.aws_url}: {error}."
        ) from error
    return AwsState(live, [str(error) for error in errors])


def _health(url: str, what: str, timeout: float) -> dict[str, Any]:
    where = url.partition("//")[2].partition("/")[0]
    with requests.Session() as session:
        session.trust_env = False  # no proxy for connections on this machine
        try:
            answer = session.get(url, timeout=timeout)
            answer.raise_for_status()
            return dict(answer.json())
        except requests.Timeout as error:
            raise LaptopError(f"{what} at {where} did not respond within {timeout:g} s.") from error
        except requests.ConnectionError as error:
            raise LaptopError(f"{what} at {where} does not accept connections.") from error
        except (requests.RequestException, ValueError) as error:
            raise LaptopError(f"{what} at {where} is not healthy: {error}.") from error


def _steps(api: AirflowApi, run: DagRun) -> list[str]:
    tasks = api.task_instances(run.dag_id, run.run_id)
    return [task.name for task in tasks if task.state in ("running", "deferred", "awaiting_input", "queued")]


def _question(api: AirflowApi, found: dict[str, Any]) -> Question:
    task = found["task_instance"]
    dag_id, run_id = task["dag_id"], task["dag_run_id"]
    asks = TaskInstance(task["task_id"], task["map_index"], task["state"], task["try_number"], None, None)
    return Question(
        run=f"{run_id} of {dag_id}",
        subject=found["subject"],
        asked=datetime.fromisoformat(found["created_at"]),
        url=api.question_page(dag_id, run_id, asks),
    )


def trouble(status: Status, component: Component) -> str | None:
    """Return the problem of a component, or None."""
    if component.state != "running":
        return component.state
    if component.name == "local-aws" and isinstance(status.aws_health, str):
        return "does not respond"
    health = status.airflow_health
    if component.name == "api-server" and isinstance(health, str):
        return "does not respond"
    if (
        component.name == "api-server"
        and isinstance(health, dict)
        and not _is_healthy(health, "metadatabase")
    ):
        return "can't use its database"
    if component.name in HEARTBEATS:
        if not isinstance(health, dict):
            return "unknown"
        if not _is_healthy(health, HEARTBEATS[component.name]):
            last = (health.get(HEARTBEATS[component.name]) or {}).get(
                f"latest_{HEARTBEATS[component.name]}_heartbeat"
            )
            return (
                f"no heartbeat since {clock_time(datetime.fromisoformat(last))}"
                if last
                else "no heartbeat yet"
            )
    return None


def _is_healthy(health: dict[str, Any], component: str) -> bool:
    return (health.get(component) or {}).get("status") == "healthy"


def show(console: Console, status: Status) -> None:
    """Print the components, live models, runs, questions, and what to do next."""
    if not status.is_running:
        if status.left_behind:
            say(
                console,
                f"{status.left_behind} processes of an earlier stack are running without supervision.",
                "bold red",
            )
        else:
            say(console, "Nothing is running.", "bold")
    else:
        say(console, "Components", "bold")
        show_table(console, _components(console, status))
        say(console)
        say(
            console,
            f"Airflow is at {status.paths.airflow_url} (user {ADMIN}, password in "
            f"{shown_path(status.paths.passwords_file)}), local AWS at {status.paths.aws_url}.",
        )
        for sentence in status.silence:
            say(console, sentence, "red")
    if isinstance(status.aws, AwsState):
        say(console)
        say(console, "Live models", "bold")
        show_table(console, _live_models(status.aws))
    if isinstance(status.work, Work):
        _show_runs(console, status.work)
    say(console)
    say(console, "Next", "bold")
    for step in next_steps(status):
        say(console, f"  {step}")


def _components(console: Console, status: Status) -> Table:
    table = _table("", "Component", "State", "Since", "Port")
    now = datetime.now(UTC)
    for component in status.components:
        wrong = trouble(status, component)
        port = str(getattr(status.paths, PORTS[component.name])) if component.name in PORTS else ""
        age = (
            f"{clock_time(component.since)}, {duration((now - component.since).total_seconds())}"
            if component.since
            else ""
        )
        table.add_row(
            mark(console, wrong is None),
            component.name,
            Text(wrong or "healthy", style="red" if wrong else "green"),
            age,
            port,
        )
    return table


def _live_models(aws: AwsState) -> Table:
    table = _table("Project", "Live", "Accuracy", "Since", "Endpoint", "Function")
    for project, live in aws.live.items():
        if live is None:
            table.add_row(Text(project), Text("nothing", style="dim"))
            continue
        status = "" if live.status == "InService" else f" ({live.status})"
        table.add_row(
            Text(project),
            Text(
                f"{live.name}{'' if live.is_tested else ', untested'}", style="" if live.is_tested else "red"
            ),
            live_models.figures(live.accuracy) if live.accuracy else "unknown",
            clock_time(live.since) if live.since else "unknown",
            Text(f"{live.endpoint}{status}"),
            Text(live.function or "none"),
        )
    return table


def _show_runs(console: Console, work: Work) -> None:
    say(console)
    say(console, "Unfinished runs", "bold")
    for run in work.runs:
        begun = run.start or run.queued_at
        since = f" since {clock_time(begun)}" if begun else ""
        steps = ", ".join(work.steps.get(run.run_id, []))
        say(console, f"  {run.dag_id} {run.run_id}: {run.state}{since}{f', now {steps}' if steps else ''}")
    if not work.runs:
        say(console, "  none", "dim")
    say(console)
    say(console, "Open questions", "bold")
    for question in work.questions:
        say(console, f"  {question.subject} ({question.run}, since {clock_time(question.asked)})")
        say(console, f"  {question.url}")
    if not work.questions:
        say(console, "  none", "dim")


def next_steps(status: Status) -> list[str]:
    """Return what the user can do now, the most urgent first."""
    if status.is_changing:
        return [
            "Another command is starting or stopping this stack. Wait for it, then run `make status` again."
        ]
    if status.left_behind:
        return ["`make down` stops these processes."]
    if not status.is_running:
        return [
            "`make demo` starts local AWS and Airflow, trains the project sample, and deploys it.",
            "`make up` starts local AWS and Airflow without a run.",
        ]
    steps = []
    for component in status.components:
        wrong = trouble(status, component)
        if wrong and wrong != "unknown":
            steps.append(
                f"{component.name}: {wrong}. Its log is {shown_path(component.log)}. "
                "`make down` and `make up` restart the stack."
            )
    if isinstance(status.work, Work):
        steps += [f'Answer "{question.subject}": {question.url}' for question in status.work.questions]
        going = {
            run.dag_id.partition(".")[0]
            for run in status.work.runs
            if run.dag_id.endswith("train_and_deploy")
        }
    else:
        going = set()
    steps += [f"`make demo PROJECT={project}` watches its run." for project in sorted(going)]
    if isinstance(status.aws, AwsState):
        steps += [f"Fix project file {error}" for error in status.aws.broken_projects]
        steps += [
            f"{project} has a release without a passed smoke test. A new run tests it or rolls it back."
            for project, live in status.aws.live.items()
            if live and not live.is_tested and project not in going
        ]
        if not going and not any(status.aws.live.values()):
            names: Sequence[str] = sorted(status.aws.live)
            steps.append(
                f"Train and deploy a model: {' or '.join(f'`make demo PROJECT={name}`' for name in names)}."
            )
        if any(status.aws.live.values()):
            steps.append("Call a live model: `make demo` prints the commands, and README.md has them.")
    steps.append("`make down` stops everything. Local AWS then loses its models.")
    return steps


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
