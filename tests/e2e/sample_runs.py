"""Runs of the project `sample` on the whole stack, which several files of tests share."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from include.laptop import status
from include.laptop.airflow_api import AirflowApi, AirflowApiError, run_path
from include.laptop.stack import Stack
from include.laptop.terminal import make_console
from include.pipeline.data.drawings import DrawnMembers

RELEASE, TEARDOWN, WORKSPACE = "sample.train_and_deploy", "sample.teardown", "sample.workspace"
RUN_SECONDS = 1500
"""The time after which a test gives up waiting for a run."""
STACK_PAUSE = 1.0
"""The pause between two looks at a stack."""
WATCH_PAUSE = 4.0
"""The pause between two looks at all tasks of a run. Each look takes Airflow's API server a fifth of a second."""
TASK_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
Client = Callable[[str], Any]


@dataclass(frozen=True)
class Approved:
    """A run whose candidate the administrator has approved.

    :param question: what the administrator was shown, as Markdown.
    :param evidence: the page to which the question links, as it was before the answer.
    :param refusal: the answer of Airflow when the viewer tried to decide.
    :param package: the model package of the candidate after the run.
    :param status: what `make status` showed while the question waited.
    :param watched: what `make demo` showed of the run without a terminal.
    """

    run_id: str
    state: str
    question: str
    evidence: str
    refusal: str
    package: dict[str, Any]
    status: str
    watched: str


def run(airflow: AirflowApi, dag_id: str, **conf: Any) -> tuple[str, str]:
    """Run a DAG to its end, and return the id and the state of the run."""
    run_id = start(airflow, dag_id, **conf)
    return run_id, airflow.wait(dag_id, run_id, RUN_SECONDS)


def start(airflow: AirflowApi, dag_id: str, **conf: Any) -> str:
    deadline = time.monotonic() + RUN_SECONDS
    while not airflow.is_parsed(dag_id):
        assert time.monotonic() < deadline, airflow.import_errors()
        time.sleep(STACK_PAUSE)
    airflow.unpause(dag_id)
    while True:
        try:
            return airflow.trigger(dag_id, conf)
        except AirflowApiError as error:  # another process has kept SQLite locked for 5 s
            if "Database error" not in str(error) or time.monotonic() > deadline:
                raise


def states(airflow: AirflowApi, dag_id: str, run_id: str) -> dict[str, str | None]:
    return {task.task_id: task.state for task in airflow.task_instances(dag_id, run_id)}


def links_in(markdown: str) -> list[str]:
    """Return the URLs to which a text links."""
    return re.findall(r"\]\((\S+?)\)", markdown)


def await_state(
    airflow: AirflowApi, run_id: str, task_id: str, *wanted: str, pause: float = STACK_PAUSE
) -> str:
    """Wait until a task of a release is in one of the states, and return its state.

    To return one task takes Airflow a sixth of the time that all tasks of the run take.
    """
    task = f"{run_path(RELEASE, run_id)}/taskInstances/{task_id}"
    deadline = time.monotonic() + RUN_SECONDS
    while (state := airflow.ask("GET", task)["state"]) not in wanted:
        assert state not in TASK_ENDED, states(airflow, RELEASE, run_id)
        assert time.monotonic() < deadline, states(airflow, RELEASE, run_id)
        time.sleep(pause)
    return str(state)


def await_question(airflow: AirflowApi, run_id: str, task_id: str) -> str:
    """Wait until a task of a release waits for an answer, and return the path of its question."""
    await_state(airflow, run_id, task_id, "awaiting_input", "deferred")
    return f"{run_path(RELEASE, run_id)}/taskInstances/{task_id}/-1/hitlDetails"


@functools.cache
def star() -> str:
    """Return one of the drawn pictures as base64. Drawing it takes seconds."""
    ((_, picture),) = DrawnMembers().read(["test/004.star/star_003.png"])
    return base64.b64encode(picture).decode()


def ask(aws: Client) -> dict[str, Any]:
    """Return the answer of the function to a drawn picture."""
    return invoke(aws, {"image": star()})


def invoke(aws: Client, event: dict[str, Any]) -> dict[str, Any]:
    result = aws("lambda").invoke(FunctionName="sample", Qualifier="live", Payload=json.dumps(event))
    answer: dict[str, Any] = json.load(result["Payload"])
    return answer


def serving(aws: Client) -> str | None:
    """Return the model that answers, or None if there is no function."""
    found = [function["FunctionName"] for function in aws("lambda").list_functions()["Functions"]]
    return ask(aws)["model"] if "sample" in found else None


def show_status(stack: Stack) -> str:
    """Return what `make status` shows, with single blanks."""
    shown = io.StringIO()
    patient = status.read(stack, answer_seconds=120, all_seconds=240)  # the machine may be busy
    status.show(make_console(shown), patient)
    return "\n".join(" ".join(line.split()) for line in shown.getvalue().splitlines())
