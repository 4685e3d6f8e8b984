"""Test that a teardown leaves nothing of a release that has ended or was killed in the middle of a step.

One release runs through all steps. In each step, the test compares the resources that the release has created with
the inventory that the teardown works from. A teardown after a kill in that step finds the same resources.

Five more releases are killed with SIGKILL and then torn down. They are killed where a kill leaves something in
progress: a tuning job, an instance that trains, an endpoint in status Creating, provisioned concurrency in status
IN_PROGRESS, and an endpoint that a rollback deletes.

tests/include/pipeline/test_teardown.py proves that a teardown removes each kind of resource.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import deploy
from include.pipeline import inventory
from include.pipeline.infrastructure import read_infrastructure
from tests.e2e.child_runs import ChildRuns
from tests.e2e.pipeline import NAME, Pipeline, xcom
from tests.e2e.release_record import Wanted
from tests.include.infrastructure.permissions import Recorded, needs_simulator
from tests.include.local_aws.documented import documented_operations

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

# The steps of a run that trains on SageMaker and succeeds.
STEPS = [
    *("preflight", "estimate_cost", "stage_data", "package_code", "read_live", "check_for_changes"),
    *("stage_weights", "features", "tune", "choose_place", "train"),
    *("evaluate", "register", "gate", "approve", "record_approval", "create_model"),
    *("create_endpoint_config", "put_alarms", "suspend_scaling", "deploy_endpoint", "scale_endpoint"),
    *("resume_scaling", "deploy_function", "reserve_concurrency", "invoke_version", "move_alias"),
    *("provision_concurrency", "function_url", "smoke_test", "clean_up", "report"),
]
# By step: a run that is killed there. It reuses the jobs of the run that has ended, unless its settings differ.
KILLS = {
    "tune": Wanted({}, {"tuning": {"max_jobs": 2}}, {"tune"}, ("tune", "CreateHyperParameterTuningJob")),
    "train_on_ec2": Wanted(
        {"train_on": "ec2"}, {}, {"prepare_ec2", "train_on_ec2"}, ("train_on_ec2", "SendCommand")
    ),
    "deploy_endpoint": Wanted({}, {}, {"deploy_endpoint"}, ("deploy_endpoint", "CreateEndpoint")),
    "provision_concurrency": Wanted(
        {}, {}, {"provision_concurrency"}, ("provision_concurrency", "PutProvisionedConcurrencyConfig")
    ),
    "rollback": Wanted({}, {}, {"rollback"}, ("rollback", "DeleteEndpoint"), fails=True),
}
# A model of one epoch does not fail the release.
QUICK = {"classifier": {"epochs": 1}, "gate": {"floor": 0}}
FUNCTION = {"provisioned_concurrency": 1, "reserved_concurrency": 2, "url": True}
STAYS = {"data", "registry", "logs", "infrastructure"}


@dataclass(frozen=True)
class Ended:
    """The result of a run and of the teardown after it.

    :param exit_code: the exit code of the process of the run.
    :param steps: the steps that have ended.
    :param jobs: the operations that have started jobs.
    :param missed: the resources that the inventory lacks.
    :param failure: the error of the teardown; None if it has succeeded.
    :param left: the kinds of resources that exist after the teardown.
    """

    exit_code: int
    steps: list[str]
    jobs: list[str]
    missed: list[str]
    failure: str | None
    left: set[str]


class Runs:
    """Runs releases in child processes that can kill themselves, and tears the project down after each."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.children = pipeline, ChildRuns(pipeline)

    def run(self, wanted: Wanted) -> Ended:
        """Run the release and tear the project down."""
        self.pipeline.write(function=FUNCTION, **QUICK, **wanted.settings)
        exit_code, noted = self.children.run(wanted)
        teardown = self.pipeline.run("teardown", dry_run=False, confirm=NAME)
        failure = None if str(teardown.state) == "success" else xcom(teardown, "verify", "failure")
        return Ended(exit_code, *noted, failure, exists(self.pipeline))


def exists(shapes: Pipeline) -> set[str]:
    bucket = read_infrastructure(shapes.client("cloudformation")).bucket
    return {row.what for row in inventory.list_resources(shapes.project, shapes.client, bucket)}


@pytest.fixture(scope="module")
def calls_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file in which local AWS records all calls."""
    return tmp_path_factory.mktemp("calls") / "calls.jsonl"


@pytest.fixture(scope="module")
def shapes(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, calls_file: Path
) -> Iterator[Pipeline]:
    initdb()
    folder = tmp_path_factory.mktemp("killed")
    with running_local_aws(folder, LOCAL_AWS_STOP_GRACE="2", LOCAL_AWS_CALLS=str(calls_file)) as server:
        deploy(server.url)
        pipeline = Pipeline(tmp_path_factory.mktemp("project"), server.url, server.client)
        pipeline.write(function=FUNCTION, **QUICK)
        with pipeline.leading_here():
            yield pipeline


@pytest.fixture(scope="module")
def runs(shapes: Pipeline) -> Iterator[Runs]:
    runs = Runs(shapes)
    yield runs
    runs.children.end()


@pytest.fixture(scope="module")
def whole_run(runs: Runs) -> Ended:
    """Return a run that has ended."""
    return runs.run(Wanted({"require_approval": True}, {}))


@pytest.fixture(scope="module", params=KILLS)
def killed_run(request: pytest.FixtureRequest, runs: Runs, whole_run: Ended) -> tuple[str, Ended]:
    """Return a step and a run that was killed in it."""
    return request.param, runs.run(KILLS[request.param])


def test_after_each_step_the_inventory_names_all_that_was_made(whole_run: Ended) -> None:
    assert whole_run.exit_code == 0
    assert whole_run.missed == []
    assert set(whole_run.steps) == set(STEPS)


def test_every_step_is_among_them(shapes: Pipeline) -> None:
    looked_at = {step for wanted in KILLS.values() for step in wanted.steps or ()}
    assert set(shapes.dag("train_and_deploy").task_ids) == {*STEPS, *looked_at}


def test_a_teardown_leaves_nothing_of_a_release(whole_run: Ended) -> None:
    assert whole_run.failure is None
    assert whole_run.left <= STAYS


def test_a_teardown_leaves_nothing_of_a_release_that_was_killed(killed_run: tuple[str, Ended]) -> None:
    step, run = killed_run
    assert run.exit_code == -signal.SIGKILL, "the run was not killed"
    assert run.missed == []
    assert set(run.steps) >= (KILLS[step].steps or set()) - {step}
    assert run.failure is None
    assert run.left <= STAYS


def test_after_a_teardown_a_release_repeats_no_job(killed_run: tuple[str, Ended]) -> None:
    step, run = killed_run
    new = {"tune": ["CreateHyperParameterTuningJob"]}
    assert run.jobs == new.get(step, [])


@pytest.fixture
def recorded(shapes: Pipeline, calls_file: Path, whole_run: Ended) -> Recorded:
    return Recorded(calls_file, shapes.client)


@needs_simulator
def test_the_policies_of_the_stack_permit_every_call(recorded: Recorded) -> None:
    assert recorded.refused() == []


@needs_simulator
def test_every_permission_is_needed_by_a_call_or_has_a_reason(recorded: Recorded) -> None:
    assert recorded.unneeded_without_reason() == set()


@needs_simulator
def test_nobody_is_allowed_the_calls_of_another_without_a_reason(recorded: Recorded) -> None:
    assert recorded.shared_without_reason() == set()


def test_every_operation_that_is_called_is_in_the_docs_of_local_aws(recorded: Recorded) -> None:
    assert recorded.operations() - documented_operations().keys() == set()


def test_every_operation_of_the_docs_of_local_aws_is_called_unless_it_is_marked(recorded: Recorded) -> None:
    documented = {operation for operation, is_recorded in documented_operations().items() if is_recorded}
    assert documented - recorded.operations() == set()
