"""A release killed in the middle of a step, and the teardown after it: nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import select

from include.laptop.infrastructure import deploy
from include.pipeline import inventory
from include.pipeline.infrastructure import read_infrastructure
from tests.e2e.pipeline import NAME, REPOSITORY, Pipeline, xcom

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

STEPS = [
    *("preflight", "estimate_cost", "stage_data", "package_code", "read_live", "check_for_changes"),
    *("stage_weights", "features", "tune", "choose_place", "prepare_ec2", "train_on_ec2", "train"),
    *("evaluate", "register", "gate", "approve", "record_approval", "create_model"),
    *("create_endpoint_config", "put_alarms", "suspend_scaling", "deploy_endpoint", "scale_endpoint"),
    *("resume_scaling", "deploy_function", "reserve_concurrency", "move_alias", "provision_concurrency"),
    *("function_url", "smoke_test", "rollback", "clean_up", "report"),
]
# What the form has to say so that a step is not left out.
CONF = {
    "prepare_ec2": {"train_on": "ec2"},
    "train_on_ec2": {"train_on": "ec2"},
    "approve": {"require_approval": True},
}
STAYS = {"data", "registry", "logs", "infrastructure"}


class KilledRuns:
    """A process that runs the release, in children that die in a step."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        script = Path(__file__).with_name("killed_runs.py")
        self.channel, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(script), str(pipeline.folder), pipeline.aws_url, str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"},
                pass_fds=[theirs.fileno()],
            )

    def kill_in(self, step: str) -> None:
        """Run the release up to a step and kill it there; mark it failed then, as a user has to."""
        self.channel.send((step, CONF.get(step, {})))
        assert self.channel.recv() == -signal.SIGKILL, "the run was not killed"
        with create_session() as session:
            (run,) = session.scalars(select(DagRun).where(DagRun.dag_id == f"{NAME}.train_and_deploy"))
            assert str(run.state) == "running"
            dag = SerializedDagModel.get_dag(run.dag_id, session=session)
            set_dag_run_state_to_failed(dag=dag, run_id=run.run_id, commit=True, session=session)

    def end(self) -> None:
        self.channel.close()
        self.process.wait(60)


@pytest.fixture(scope="module")
def shapes(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    initdb()
    with running_local_aws(tmp_path_factory.mktemp("killed"), LOCAL_AWS_STOP_GRACE="2") as server:
        deploy(server.url)
        pipeline = Pipeline(tmp_path_factory.mktemp("project"), server.url, server.client)
        pipeline.write(
            function={"provisioned_concurrency": 1, "reserved_concurrency": 2, "url": True},
        )
        with pipeline.leading_here():
            yield pipeline


@pytest.fixture(scope="module")
def killed_runs(shapes: Pipeline) -> Iterator[KilledRuns]:
    runs = KilledRuns(shapes)
    yield runs
    runs.end()


@pytest.mark.parametrize("step", STEPS)
def test_after_a_run_that_was_killed_in_a_step_a_teardown_leaves_nothing(
    shapes: Pipeline, killed_runs: KilledRuns, step: str
) -> None:
    killed_runs.kill_in(step)
    run = shapes.run("teardown", dry_run=False, confirm=NAME)
    assert str(run.state) == "success", xcom(run, "verify", "failure")
    assert exists(shapes) <= STAYS


def test_every_step_is_among_them(shapes: Pipeline) -> None:
    assert set(shapes.dag("train_and_deploy").task_ids) == set(STEPS)


def exists(shapes: Pipeline) -> set[str]:
    bucket = read_infrastructure(shapes.client("cloudformation")).bucket
    return {row["what"] for row in inventory.look(shapes.project, shapes.client, bucket)}
