"""Run releases in child processes that can kill themselves, see killed_runs.py."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import astuple
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from sqlalchemy import select

from tests.e2e.pipeline import NAME, REPOSITORY, Pipeline, states
from tests.e2e.release_record import Wanted


class ChildRuns:
    """The process that starts the child processes."""

    def __init__(self, pipeline: Pipeline) -> None:
        script = Path(__file__).with_name("killed_runs.py")
        self._channel, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(script), str(pipeline.folder), pipeline.aws_url, str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"},
                pass_fds=[theirs.fileno()],
            )

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
        self._process.wait(60)


def mark_failed() -> None:
    """Mark the release failed that a kill has left in state running."""
    with create_session() as session:
        found = select(DagRun).where(DagRun.dag_id == f"{NAME}.train_and_deploy", DagRun.state == "running")
        for run in session.scalars(found):
            dag = SerializedDagModel.get_dag(run.dag_id, session=session)
            set_dag_run_state_to_failed(dag=dag, run_id=run.run_id, commit=True, session=session)


def last_states(dag_id: str) -> dict[str, str]:
    """Return the state of each task of the last run of a DAG."""
    last = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
    with create_session() as session:
        return states(session.scalars(last).one())
