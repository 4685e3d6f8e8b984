"""Clearing a run whose deadline has not passed, with Airflow's reference and with the guard."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagcode import DagCode
from airflow.models.dagrun import DagRun
from airflow.models.deadline import Deadline
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.timezone import utcnow
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from amazon_ml.notifications.sns import LateRunNotifier
from sqlalchemy import select
from upstream_guards.deadlines import RunQueuedAt

LIMIT = timedelta(minutes=90)


class Run:
    """An unfinished run of a DAG with a deadline."""

    def __init__(self, reference: Any) -> None:
        initdb()
        dag_id, now = f"late_{uuid.uuid4().hex}", utcnow()
        callback = AsyncCallback(
            LateRunNotifier, kwargs={"message": "x", "stack_name": "x", "output_key": "y"}
        )
        alert = DeadlineAlert(reference=reference, interval=LIMIT, callback=callback)
        with DAG(dag_id, schedule=None, deadline=alert) as dag:
            EmptyOperator(task_id="train")
        with create_session() as session, pytest.MonkeyPatch.context() as patch:
            patch.setattr(DagCode, "get_code_from_file", lambda *_: Path(__file__).read_text())
            session.merge(DagBundleModel(name="late"))
            session.flush()
            session.add(DagModel(dag_id=dag_id, bundle_name="late", fileloc=__file__, is_paused=False))
            session.flush()
            SerializedDagModel.write_dag(
                LazyDeserializedDAG.from_dag(dag), bundle_name="late", session=session
            )
        with create_session() as session:
            self.dag = SerializedDagModel.get(dag_id, session=session).dag
            run = self.dag.create_dagrun(
                run_id="manual__1",
                run_after=now,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.QUEUED,
                session=session,
            )
            run.state, run.start_date = DagRunState.RUNNING, now
            self.queued = run.queued_at

    def end(self, state: str) -> None:
        """Let the task end, and the scheduler notice it."""
        with create_session() as session:
            instance, run = self._rows(session)
            instance.state, instance.end_date = state, utcnow()
            session.flush()
            run.dag = self.dag
            run.update_state(session=session, execute_callbacks=False)
            assert run.state == state

    def clear(self) -> None:
        with create_session() as session:
            clear_task_instances([self._rows(session)[0]], session=session)

    def deadlines(self) -> list[timedelta]:
        """Return the pending deadlines, from when the run was first queued."""
        with create_session() as session:
            run = self._rows(session)[1]
            found = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id))
            return [deadline.deadline_time - self.queued for deadline in found]

    def state(self) -> str:
        with create_session() as session:
            return str(self._rows(session)[1].state)

    def _rows(self, session: Any) -> tuple[TaskInstance, DagRun]:
        instance = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == self.dag.dag_id)).one()
        return instance, session.scalars(select(DagRun).where(DagRun.dag_id == self.dag.dag_id)).one()


class TestWithoutTheGuard:
    def test_clear_fails_while_the_deadline_is_pending(self) -> None:
        run = Run(DeadlineReference.DAGRUN_QUEUED_AT)
        run.end("failed")
        with pytest.raises(TypeError):
            run.clear()


class TestRunQueuedAt:
    def test_deadline_starts_when_the_run_is_queued(self) -> None:
        assert Run(RunQueuedAt()).deadlines() == [LIMIT]

    def test_failed_run_can_be_cleared_and_keeps_its_deadline(self) -> None:
        run = Run(RunQueuedAt())
        run.end("failed")
        run.clear()
        assert run.state() == "queued"
        assert run.deadlines() == [LIMIT]

    def test_successful_run_has_no_deadline(self) -> None:
        run = Run(RunQueuedAt())
        run.end("success")
        assert run.deadlines() == []
