"""A task instance in Airflow's database, and the scheduler and the APIs that act on it, one step at a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.execution_api.app import _jwt_generator, create_task_execution_api_app
from airflow.executors.base_executor import BaseExecutor
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dag import DagModel
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagcode import DagCode
from airflow.models.log import Log
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.sdk import DAG
from airflow.sdk.timezone import utcnow
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from fastapi import FastAPI
from human_input.operators import AskOperator
from sqlalchemy import select
from starlette.testclient import TestClient
from upstream_guards import scheduler
from upstream_guards.questions import QuestionMiddleware

SCHEDULER_JOB = 7
ORIGINALS: dict[str, Any] = {
    name: SchedulerJobRunner.__dict__[name]
    for name in ("process_executor_events", "check_awaiting_input_timeouts")
}


class Executor(BaseExecutor):
    """An executor that runs nothing and reports the events of the test."""


class Instance:
    """The consecutive tries of the task `ask`, in a separate DAG run."""

    def __init__(self, dag_id: str, run_id: str, api: TestClient) -> None:
        self.dag_id, self.run_id, self.api = dag_id, run_id, api
        self.executor = Executor()

    def read(self, what: Callable[[TaskInstance], Any] = lambda row: str(row.state)) -> Any:
        """Return the state or another attribute of the task instance."""
        with create_session() as session:
            return what(self._row(session))

    def set(self, **columns: Any) -> None:
        with create_session() as session:
            row = self._row(session)
            for name, value in columns.items():
                setattr(row, name, value)

    def start(self) -> None:
        """Queue the task and let a worker run it; a resumed task keeps the start of its try."""
        self.queue()
        resumed, started = self.read(lambda row: (row.next_method, row.start_date))
        self.set(state=TaskInstanceState.RUNNING, start_date=started if resumed else utcnow())

    def queue(self) -> None:
        self.set(state=TaskInstanceState.QUEUED, queued_by_job_id=SCHEDULER_JOB)

    def ask(self, body: str = "Accuracy 0.91", token: str | None = None) -> Any:
        """Post the question as the task does; return the response."""
        question = {"options": ["Approve", "Reject"], "subject": "Deploy it?", "body": body, "params": {}}
        return self._call("POST", "hitlDetails/{}", {"ti_id": self.id, **question}, token)

    def pause(self) -> None:
        """Wait for the answer without a worker; the executor reports the worker's end later."""
        body = {"state": "awaiting_input", "next_method": "execute_complete", "next_kwargs": {}}
        answer = self._call("PATCH", "task-instances/{}/state", {**body, "timeout": None})
        assert answer.status_code == 204, answer.text

    def defer(self) -> None:
        """Wait for a trigger without a worker; the executor reports the worker's end later."""
        self.set(state=TaskInstanceState.DEFERRED, next_method="execute_complete", next_kwargs={})

    def reschedule(self) -> None:
        """Pause without a worker until now; the executor reports the worker's end later."""
        body = {"state": "up_for_reschedule", "reschedule_date": utcnow().isoformat()}
        answer = self._call("PATCH", "task-instances/{}/state", {**body, "end_date": utcnow().isoformat()})
        assert answer.status_code == 204, answer.text

    def answer(self, choice: str) -> None:
        """Answer as a user does, with Airflow's public API."""
        # Importing these takes seconds, which every process that collects the tests would need.
        from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
        from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail

        user = SimpleNamespace(get_id=lambda: "1", get_name=lambda: "anna")
        with create_session() as session:
            update_hitl_detail(
                self.dag_id,
                self.run_id,
                "ask",
                UpdateHITLDetailPayload(chosen_options=[choice], params_input={}),
                user,
                session,
            )

    def resume(self) -> None:
        """Resume the task as the trigger's event does."""
        self.set(state=TaskInstanceState.SCHEDULED)

    def report_success(self) -> None:
        """Let the scheduler read the executor's event for the end of the first process."""
        key: TaskInstanceKey = self.read(lambda row: row.key)
        self.executor.event_buffer[key] = (TaskInstanceState.SUCCESS, None)
        with create_session() as session:
            SchedulerJobRunner.process_executor_events(
                executor=self.executor,
                job_id=SCHEDULER_JOB,
                scheduler_dag_bag=DBDagBag(),
                session=session,
            )

    def check_timeouts(self) -> None:
        """Let the scheduler check for tasks that have waited too long for an answer."""
        # Without a job: a new one would install the guards.
        SchedulerJobRunner.__new__(SchedulerJobRunner).check_awaiting_input_timeouts()

    def mismatches(self) -> int:
        """Return how often the scheduler treated the task as lost."""
        with create_session() as session:
            logged = select(Log).where(Log.run_id == self.run_id, Log.event == "state mismatch")
            return len(list(session.scalars(logged)))

    def retry(self) -> None:
        """Begin the next try of a task that is up for retry."""
        assert self.read() == "up_for_retry"
        self.set(try_number=self.read(lambda row: row.try_number) + 1)
        self.start()

    def clear(self) -> None:
        """Clear the task as a user does, and start its next try."""
        with create_session() as session:
            clear_task_instances([self._row(session)], session=session)
        self.set(try_number=self.read(lambda row: row.try_number) + 1)
        self.start()

    def question(self) -> tuple[str, list[str] | None]:
        """Return what a user sees: the body of the question and the answer."""
        with create_session() as session:
            detail = self._row(session, hitl=True).hitl_detail
            return detail.body, detail.chosen_options

    @property
    def id(self) -> str:
        return str(self.read(lambda row: row.id))

    def _row(self, session: Any, hitl: bool = False) -> TaskInstance:
        query = select(TaskInstance).where(TaskInstance.run_id == self.run_id)
        if hitl:
            from sqlalchemy.orm import joinedload

            query = query.options(joinedload(TaskInstance.hitl_detail))
        return session.scalars(query).one()

    def _call(self, method: str, path: str, body: dict[str, Any], token: str | None = None) -> Any:
        token = token or _jwt_generator().generate(extras={"sub": self.id, "scope": "execution"})
        return self.api.request(
            method,
            f"/execution/{path.format(self.id)}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )


@pytest.fixture(scope="package")
def dag() -> DAG:
    """A DAG with one human-in-the-loop task in Airflow's database."""
    initdb()
    with DAG(f"asks_{uuid.uuid4().hex}", schedule=None) as dag:
        AskOperator(task_id="ask", subject="Deploy it?", options=["Approve", "Reject"], retries=2)
    with create_session() as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagCode, "get_code_from_file", lambda *_: Path(__file__).read_text())
        session.merge(DagBundleModel(name="asks"))
        session.flush()
        session.add(DagModel(dag_id=dag.dag_id, bundle_name="asks", fileloc=__file__, is_paused=False))
        session.flush()
        SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="asks", session=session)
    return dag


@pytest.fixture(scope="package")
def apis() -> Iterator[dict[bool, TestClient]]:
    """Clients of Airflow's Execution API, with and without the guard of questions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", uuid.uuid4().hex * 2)
        execution = create_task_execution_api_app()
        execution.state.dag_bag = DBDagBag()
        root = FastAPI(lifespan=lambda _: execution.router.lifespan_context(execution))
        root.mount("/execution", execution)
        with TestClient(root):
            yield {True: TestClient(QuestionMiddleware(root)), False: TestClient(root)}


@pytest.fixture
def guarded() -> bool:
    """Whether the guards are installed; tests of the bug itself override it."""
    return True


@pytest.fixture
def unguarded_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's own scheduler, until the test installs the guards."""
    for name, method in ORIGINALS.items():
        monkeypatch.setattr(SchedulerJobRunner, name, method)


@pytest.fixture
def instance(dag: DAG, apis: dict[bool, TestClient], guarded: bool, unguarded_scheduler: None) -> Instance:
    """The first try of a running task."""
    if guarded:
        scheduler.on_starting(None)
    run_id, now = uuid.uuid4().hex, utcnow()
    with create_session() as session:
        run = SerializedDagModel.get(dag.dag_id, session=session).dag.create_dagrun(
            run_id=run_id,
            logical_date=None,
            data_interval=None,
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.UI,
            state=DagRunState.RUNNING,
            session=session,
        )
        run.start_date = now - timedelta(seconds=1)
    instance = Instance(dag.dag_id, run_id, apis[guarded])
    instance.set(try_number=1)
    instance.start()
    return instance
