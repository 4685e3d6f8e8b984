"""Run releases in child processes that can kill themselves, see killed_runs.py."""

from __future__ import annotations

import os
from dataclasses import astuple
from multiprocessing import Pipe
from typing import Any

from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from sqlalchemy import select

from tests.e2e import killed_runs
from tests.e2e.pipeline import NAME, Pipeline
from tests.e2e.release_record import Wanted


class ChildRuns:
    """The process that starts the child processes.

    It is a fork of this one, and they are forks of it. So no child process imports a module or does anything else that
    takes long only the first time, if this process has run a DAG before. It starts before the test starts a thread.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._channel, theirs = Pipe()

        def serve() -> None:
            self._channel.close()
            killed_runs.serve(pipeline, theirs)

        self._process = killed_runs.fork(serve)
        theirs.close()

    def run(self, wanted: Wanted) -> tuple[int, list[Any]]:
        """Run the release, and mark it failed if it was killed, as a user must.

        :return: the exit code of the child process, and what it has recorded: the steps that have ended, the
            operations that have started jobs, and the resources that the inventory lacks.
        """
        self._channel.send(astuple(wanted))
        exit_code, *noted = self._channel.recv()
        mark_failed()
        return exit_code, noted

    def end(self) -> None:
        self._channel.close()
        os.waitpid(self._process, 0)


def mark_failed() -> None:
    """Mark the release failed that a kill has left in state running."""
    with create_session() as session:
        found = select(DagRun).where(DagRun.dag_id == f"{NAME}.train_and_deploy", DagRun.state == "running")
        for run in session.scalars(found):
            dag = SerializedDagModel.get_dag(run.dag_id, session=session)
            set_dag_run_state_to_failed(dag=dag, run_id=run.run_id, commit=True, session=session)
