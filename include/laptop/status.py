"""What runs on this laptop, what is live, what waits for a person, and what to do next."""

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
from include.laptop.places import Places
from include.laptop.stack import AIRFLOW_COMPONENTS, Stack
from include.laptop.supervision import Component
from include.laptop.terminal import clock_time, duration, mark, say, shown_path
from include.laptop.terminal import show as show_table
from include.pipeline.settings import PROJECTS_FOLDER, read_projects

AIRFLOW = "Airflow's API server"
AWS = "Local AWS"
ANSWER_SECONDS = 3.0
"""How long one request may take."""
ALL_SECONDS = 5.0
"""How long all requests together may take."""
# What Airflow's health check calls the programs that report a heartbeat.
HEARTBEATS = {name.replace("_", "-"): name for name in AIRFLOW_COMPONENTS if name != "metadatabase"}
PORTS = {"local-aws": "aws_port", "api-server": "airflow_port"}


@dataclass(frozen=True)
class Question:
    """A question that waits for a person."""

    run: str
    subject: str
    asked: datetime
    url: str


@dataclass(frozen=True)
class Work:
    """What Airflow has to do.

    :param steps: the tasks of each unfinished run that are under way, by the run's id.
    :param broken_files: the DAG files that can't be imported, each with the reason.
    """

    runs: list[DagRun] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    broken_files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AwsState:
    """What is live on local AWS, by project; None where nothing is."""

    live: dict[str, LiveModel | None]
    broken_projects: list[str]


@dataclass(frozen=True)
class Status:
    """All that is known of a stack. What did not answer is a sentence that says so; None if nothing runs.

    :param airflow_health: the answer of Airflow's health check: the state of each component by its name.
    :param aws_health: the answer of local AWS's health check.
    :param left_behind: how many processes run without the supervisord that would end them.
    """

    places: Places
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
        """Whether everything that should run does: true of a stack that is not running."""
        if not self.is_running:
            return self.left_behind == 0
        return not self.silence and all(trouble(self, component) is None for component in self.components)

    @property
    def silence(self) -> list[str]:
        """What did not answer, in sentences."""
        answers = (self.airflow_health, self.aws_health, self.work, self.aws)
        return list(dict.fromkeys(answer for answer in answers if isinstance(answer, str)))


def read(stack: Stack, answer_seconds: float = ANSWER_SECONDS, all_seconds: float = ALL_SECONDS) -> Status:
    """Return the state of a stack within `all_seconds`, whatever hangs. Nothing is started or changed.

    :param answer_seconds: how long one request may take.
    """
    supervision = stack.supervision
    if not supervision.is_running():
        left = len(supervision.processes())
        return Status(stack.places, [], left_behind=left, is_changing=stack.is_changing())
    places = stack.places
    airflow_health, aws_health, work, aws = within(
        all_seconds,
        (AIRFLOW, lambda: _health(f"{places.airflow_url}/api/v2/monitor/health", AIRFLOW, answer_seconds)),
        (AWS, lambda: _health(f"{places.aws_url}/_local_aws/health", AWS, answer_seconds)),
        (f"{AIRFLOW} (runs and questions)", lambda: read_work(places, answer_seconds)),
        (f"{AWS} (live models)", lambda: read_aws(places, answer_seconds)),
    )
    components = supervision.components()
    return Status(places, components, airflow_health, aws_health, work, aws, is_changing=stack.is_changing())


def within(seconds: float, *parts: tuple[str, Callable[[], Any]]) -> list[Any]:
    """Call functions side by side, and return what each returns, or a sentence if it fails or takes too long.

    :param parts: the name of what a function talks to, and the function.
    """
    answers: list[Any] = [f"{name} did not answer within {seconds:g} s." for name, _ in parts]

    def call(number: int, function: Callable[[], Any]) -> None:
        try:
            answers[number] = function()
        except Exception as error:
            answers[number] = str(error) if isinstance(error, LaptopError) else f"{parts[number][0]}: {error}"

    # As daemons, they do not keep this process alive.
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


def read_work(places: Places, timeout: float) -> Work:
    """Return Airflow's unfinished runs, its open questions, and the DAG files that it can't import.

    :param timeout: in seconds, of each request.
    :raises LaptopError: if it does not answer.
    """
    if not places.passwords_file.exists():  # reading it would make it
        raise LaptopError(f"{places.passwords_file} does not exist. `make down` and `make up` make it again.")
    api = AirflowApi(places.airflow_url, ADMIN, passwords(places.passwords_file)[ADMIN], timeout)
    runs = api.unfinished_runs()
    return Work(
        runs=runs,
        steps={run.run_id: _steps(api, run) for run in runs},
        questions=[_question(api, found) for found in api.open_questions()],
        broken_files=[
            f"{file}: {trace.rstrip().rpartition(chr(10))[2]}"
            for file, trace in api.import_errors().items()
            if not file.endswith("project_files.py")  # which names what is wrong with project files
        ],
    )


def read_aws(places: Places, timeout: float, folder: Path = PROJECTS_FOLDER) -> AwsState:
    """Return what is live on local AWS, for every project.

    :param timeout: in seconds, of each request.
    :raises LaptopError: if it does not answer.
    """
    found, errors = read_projects(folder)
    options = {"connect_timeout": timeout, "read_timeout": timeout, "retries": {"total_max_attempts": 1}}
    service = clients(places.aws_url, **options)
    try:
        live = {project.name: live_models.read(project, service) for project in found}
    except (BotoCoreError, ClientError) as error:
        raise LaptopError(f"Local AWS at {places.aws_url} did not say what is live: {error}.") from error
    return AwsState(live, [str(error) for error in errors])


def _health(url: str, what: str, timeout: float) -> dict[str, Any]:
    where = url.partition("//")[2].partition("/")[0]
    with requests.Session() as session:
        session.trust_env = False  # no proxy between this machine and itself
        try:
            answer = session.get(url, timeout=timeout)
            answer.raise_for_status()
            return dict(answer.json())
        except requests.Timeout as error:
            raise LaptopError(f"{what} at {where} did not answer within {timeout:g} s.") from error
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
    """Return what is wrong with a component of a stack, or None."""
    if component.state != "running":
        return component.state
    if component.name == "local-aws" and isinstance(status.aws_health, str):
        return "does not answer"
    health = status.airflow_health
    if component.name == "api-server" and isinstance(health, str):
        return "does not answer"
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
    """Print it: components, live models, runs, questions, and what to do next."""
    if not status.is_running:
        if status.left_behind:
            say(
                console,
                f"Nothing supervises {status.left_behind} processes that an earlier stack has left.",
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
            f"Airflow is at {status.places.airflow_url} (user {ADMIN}, password in "
            f"{shown_path(status.places.passwords_file)}), local AWS at {status.places.aws_url}.",
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
        port = str(getattr(status.places, PORTS[component.name])) if component.name in PORTS else ""
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
    say(console, "Questions that wait for a person", "bold")
    for question in work.questions:
        say(console, f"  {question.subject} ({question.run}, since {clock_time(question.asked)})")
        say(console, f"  {question.url}")
    if not work.questions:
        say(console, "  none", "dim")


def next_steps(status: Status) -> list[str]:
    """Return what a person can do now, the most urgent first."""
    if status.is_changing:
        return [
            "Another command is starting or stopping this stack. Wait for it, then run `make status` again."
        ]
    if status.left_behind:
        return ["`make down` ends these processes."]
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
                "`make down` and `make up` restart all."
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
            f"{project} has a release without a passed smoke test: a new run tests it or takes it back."
            for project, live in status.aws.live.items()
            if live and not live.is_tested and project not in going
        ]
        if not going and not any(status.aws.live.values()):
            names: Sequence[str] = sorted(status.aws.live)
            steps.append(
                f"Train and deploy a model: {' or '.join(f'`make demo PROJECT={name}`' for name in names)}."
            )
        if any(status.aws.live.values()):
            steps.append("Call a live model: `make demo` ends with the commands, and README.md has them.")
    steps.append("`make down` stops everything; local AWS forgets its models.")
    return steps


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
