"""Test that the next run puts right whatever a stopped run has left, and that a cleared one takes nothing good down.

No request fails meanwhile. tests/dags/test_cleared_runs.py proves what each task of a cleared run reads and decides.

The stopped runs are killed with SIGKILL after one of their calls to AWS, and then marked failed: no task of theirs runs
any more, the rollback neither. So they leave what every other way to stop a run leaves.

The tests can run alone.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import deploy
from include.pipeline import known_good, live, registry, scaling
from include.pipeline.results import LiveRelease, Scaling
from tests.e2e.child_runs import ChildRuns, last_states
from tests.e2e.pipeline import NAME, Pipeline, states, xcom
from tests.e2e.release_record import Wanted
from tests.e2e.stops import WHEN

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

RELEASE = "train_and_deploy"
# The limits for latency are so high that a good model passes on a slow machine. The gate accepts any candidate.
SETTINGS: dict[str, dict[str, Any]] = {
    "classifier": {"epochs": 1},
    "alarms": {"max_latency_ms": 600_000},
    "smoke_test": {"images": 5, "max_p95_ms": 600_000},
    "gate": {"margin": -1},
    "endpoint": {"deployment": {"wait_minutes": 1, "termination_wait_minutes": 0}},
}
MODELS: tuple[dict[str, Any], ...] = ({"max_runtime_minutes": 100}, {"max_runtime_minutes": 200})
"""The trainings of the two models, one of which is live. They share a tuning job."""
STOPS = [
    pytest.param(when, kill, id=f"{when}: {kill[0]} {kill[1]}")
    for when, kills in WHEN.items()
    for kill in kills
]
# By the step of the kill: the next run releases the same model. After the other kills, it releases nothing.
RELEASED_NEXT = ("smoke_test",)
UNTESTED = ("`deploy_endpoint` changes the endpoint", "then, until `smoke_test` has passed")


class Stopped(Pipeline):
    """The project, with releases that are stopped."""

    # Most runs of these tests change nothing that serves. test_releases.py sends more requests.
    pause_seconds = 1.0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.made: dict[str, dict[str, Any]] = {}
        """By model: its training."""
        self.released: dict[str, Any] = {}
        """By model: the last run that has released it."""
        self.again: Again | None = None
        """The last release of a model that was live before."""

    def set(self, training: dict[str, Any]) -> None:
        # With each model goes another version of the function.
        memory = 512 + training["max_runtime_minutes"]
        self.write(**SETTINGS, training=training, function={"memory_mb": memory})

    def release(self, training: dict[str, Any], then: Callable[[], None] = lambda: None) -> Any:
        """Run a release.

        :param then: is called after the run has found out what is live, before it changes anything.
        """
        self.set(training)
        run = self.run(RELEASE, before={"check_for_changes": lambda context: then()})
        assert str(run.state) == "success", states(run)
        model = xcom(run, "create_model")
        self.made[model], self.released[model] = training, run
        return run

    def release_again(self, model: str) -> Any:
        """Release the live model again."""
        begun = jobs(self)
        with self.asked() as asking:
            (first,) = asking.next(1)
            run = self.release(self.made[model])
            asking.next()
        self.again = Again(run, first["model"], jobs(self) - begun, asking.answers)
        return run

    def look_again(self, model: str) -> Any:
        """Run as the clock does, with the settings of the live model: nothing is released."""
        self.set(self.made[model])
        run = self.run(RELEASE, run_type="scheduled")
        assert (str(run.state), states(run)["check_for_changes"]) == ("success", "skipped"), states(run)
        return run

    def serving(self) -> LiveRelease | None:
        return live.read_live(self.project, self.client("sagemaker"), self.client("lambda"))

    def good(self) -> LiveRelease | None:
        good = known_good.read(self.project, self.client("sagemaker"), self.client("lambda"))
        return good and LiveRelease(**good.model_dump(exclude={"since"}))

    def scaling(self) -> Scaling | None:
        return scaling.read(self.project, self.client("application-autoscaling"))

    def package(self, model: str) -> registry.ModelVersion:
        found = registry.find(model, registry.packages(self.project, self.client("sagemaker")))
        assert found
        return found

    def reason(self, model: str) -> str:
        """Return why the package of a model has its approval."""
        arn = self.package(model).arn
        found = self.client("sagemaker").describe_model_package(ModelPackageName=arn)
        return str(found["ApprovalDescription"])

    def candidate(self, live_model: str) -> str | None:
        """Return the model that is not live, once it is registered."""
        found = registry.packages(self.project, self.client("sagemaker"))
        return next((package.model for package in found if package.model != live_model), None)


@pytest.fixture(scope="module")
def shapes(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stopped]:
    initdb()
    with running_local_aws(tmp_path_factory.mktemp("stopped")) as server:
        deploy(server.url)
        shapes = Stopped(tmp_path_factory.mktemp("project"), server.url, server.client)
        shapes.set(MODELS[0])
        with shapes.leading_here():
            yield shapes


@pytest.fixture(scope="module")
def children(shapes: Stopped) -> Iterator[ChildRuns]:
    children = ChildRuns(shapes)
    yield children
    children.end()


@pytest.fixture
def nothing_live(shapes: Stopped) -> None:
    """Make sure that nothing is live."""
    if shapes.serving():
        run = shapes.run("teardown", dry_run=False, confirm=NAME)
        assert str(run.state) == "success", states(run)


@pytest.fixture
def live_model(shapes: Stopped) -> str:
    """Make sure that a good model is live, and return it."""
    if not shapes.serving():
        shapes.release(MODELS[0])
    serving = shapes.serving()
    assert serving
    return serving.model


def stop(shapes: Stopped, children: ChildRuns, kill: tuple[str, str], training: dict[str, Any]) -> None:
    """Run a release until it is killed after a call."""
    shapes.set(training)
    exit_code, _ = children.run(Wanted({"require_approval": kill[0] == "gate"}, {}, set(), kill))
    assert exit_code == -signal.SIGKILL, "the run was not killed"
    assert last_states(f"{NAME}.{RELEASE}")["rollback"] == "skipped"


def stop_another(
    shapes: Stopped, children: ChildRuns, kill: tuple[str, str], live_model: str
) -> tuple[str, bool]:
    """Stop a release of the model that is not live. Return it, and whether it was good already."""
    known = shapes.candidate(live_model)
    was_good = known is not None and shapes.package(known).is_good
    (training,) = [each for each in MODELS if each != shapes.made[live_model]]
    stop(shapes, children, kill, training)
    candidate = shapes.candidate(live_model)
    assert candidate
    shapes.made[candidate] = training
    return candidate, was_good


def check_good(shapes: Stopped, model: str) -> None:
    """Check that the model serves, is known to be good, and scales."""
    serving, scaling = shapes.serving(), shapes.scaling()
    assert serving
    assert serving.model == model
    assert serving == shapes.good()
    assert scaling
    assert not any(scaling.suspended.values())
    assert shapes.package(model).is_good
    assert shapes.ask()["model"] == model


@pytest.mark.usefixtures("nothing_live")
@pytest.mark.parametrize("kill", [("move_alias", "CreateAlias")], ids="-".join)
def test_the_next_run_removes_a_first_release_that_was_stopped(
    shapes: Stopped, children: ChildRuns, kill: tuple[str, str]
) -> None:
    stop(shapes, children, kill, MODELS[0])
    model = shapes.candidate("")
    assert model

    def check() -> None:
        assert shapes.client("sagemaker").list_endpoints()["Endpoints"] == []
        assert shapes.client("lambda").list_functions()["Functions"] == []
        assert shapes.package(model).approval == "PendingManualApproval"
        assert "it has not passed a smoke test" in shapes.reason(model)

    run = shapes.release(MODELS[0], check)
    assert xcom(run, "read_live") == {"serving": None, "good": None, "scaling": None}
    check_good(shapes, model)


@pytest.mark.parametrize(("when", "kill"), STOPS)
def test_the_next_run_puts_right_what_a_stopped_one_has_left(
    shapes: Stopped, children: ChildRuns, live_model: str, when: str, kill: tuple[str, str]
) -> None:
    before = shapes.serving()
    with shapes.asked() as asking:
        candidate, was_good = stop_another(shapes, children, kill, live_model)
        stays = when == "after that"
        good = candidate if stays else live_model

        def check() -> None:
            """Check what the next run has put right before it releases anything itself."""
            check_good(shapes, good)
            assert stays or shapes.serving() == before
            if not stays and not was_good:
                assert shapes.package(candidate).approval == "PendingManualApproval"
                if when in UNTESTED:
                    assert "it has not passed a smoke test. Rolled back by http" in shapes.reason(candidate)

        if stays:
            run = shapes.release_again(good)
        elif kill[0] in RELEASED_NEXT:
            run = shapes.release(shapes.made[candidate], check)
        else:
            run = shapes.look_again(good)
            check()
        later = asking.next()
    found = xcom(run, "read_live")
    assert (found["serving"]["model"], any(found["scaling"]["suspended"].values())) == (good, False)
    if when in UNTESTED:
        said = xcom(run, "read_live", "verdict")
        assert f"An earlier run did not finish and left model {candidate} without" in said
        assert said.endswith(f"Model {live_model} is live again.")
    after = candidate if kill[0] in RELEASED_NEXT else live_model
    check_good(shapes, after)
    assert {answer.get("model") for answer in asking.answers} <= {live_model, candidate}
    assert {answer["model"] for answer in later} == {after}


def jobs(shapes: Stopped) -> set[str]:
    """Return the ARNs of all jobs that train, tune or compute features. An evaluation depends on the live model."""
    sagemaker = shapes.client("sagemaker")
    kinds = {
        "ProcessingJob": ("list_processing_jobs", {"NameContains": "features"}),
        "TrainingJob": ("list_training_jobs", {}),
        "HyperParameterTuningJob": ("list_hyper_parameter_tuning_jobs", {}),
    }
    return {
        job[f"{kind}Arn"]
        for kind, (operation, request) in kinds.items()
        for page in sagemaker.get_paginator(operation).paginate(**request)
        for job in page[f"{kind}Summaries"]
    }


@dataclass(frozen=True)
class Again:
    """A second release of the live model.

    :param before: the model that was live before.
    :param new_jobs: the jobs that it has started.
    :param during: the answers to all requests that were sent meanwhile.
    """

    run: Any
    before: str
    new_jobs: set[str]
    during: list[dict[str, Any]]


@pytest.fixture(scope="module")
def again(shapes: Stopped) -> Again:
    """Return the last release of a model that was live before. A test of a stopped run may have made it."""
    if shapes.again is None:
        serving = shapes.serving()
        model = serving.model if serving else xcom(shapes.release(MODELS[0]), "create_model")
        shapes.release_again(model)
    assert shapes.again
    return shapes.again


@pytest.fixture(scope="module")
def green(again: Again) -> tuple[Any, str]:
    """Return a run that has succeeded, and its model."""
    return again.run, xcom(again.run, "create_model")


def test_a_second_release_of_the_live_model_starts_no_job_and_costs_no_request(again: Again) -> None:
    found = states(again.run)
    assert (found["deploy_endpoint"], found["deploy_function"], found["smoke_test"]) == ("success",) * 3
    assert again.new_jobs == set()
    assert {answer.get("model") for answer in again.during} == {again.before}


@pytest.fixture(scope="module")
def superseded(shapes: Stopped, green: tuple[Any, str]) -> tuple[Any, str, str]:
    """Return a run that has succeeded, its model, and the model that was released since."""
    _, live_model = green
    for model, run in shapes.released.items():
        if model != live_model:
            return run, model, live_model
    (training,) = [each for each in MODELS if each != shapes.made[live_model]]
    return *green, xcom(shapes.release(training), "create_model")


def fail(_: Any) -> None:
    raise ValueError("The test makes the task fail.")


def test_a_cleared_smoke_test_runs_again(shapes: Stopped, green: tuple[Any, str]) -> None:
    run, model = green
    found = shapes.clear(RELEASE, run, "smoke_test")
    assert (str(found.state), states(found)["smoke_test"]) == ("success", "success"), states(found)
    check_good(shapes, model)


@pytest.mark.parametrize("step", ["deploy_endpoint"])
def test_a_cleared_task_that_fails_takes_nothing_good_down(
    shapes: Stopped, green: tuple[Any, str], step: str
) -> None:
    run, model = green
    with shapes.asked() as asking:
        asking.next(1)
        found = states(shapes.clear(RELEASE, run, step, {step: fail}))
        asking.next(1)
    assert (found[step], found["rollback"]) == ("failed", "success"), found
    check_good(shapes, model)
    assert {answer.get("model") for answer in asking.answers} == {model}


@pytest.mark.parametrize("step", ["smoke_test", "move_alias"])
def test_a_cleared_task_leaves_a_later_release_alone(
    shapes: Stopped, superseded: tuple[Any, str, str], step: str
) -> None:
    old, its_model, model = superseded
    with shapes.asked() as asking:
        asking.next(1)
        run = shapes.clear(RELEASE, old, step)
        asking.next(1)
    assert (str(run.state), states(run)["rollback"]) == ("failed", "success"), states(run)
    check_good(shapes, model)
    assert {answer.get("model") for answer in asking.answers} == {model}
    assert shapes.package(its_model).is_good
