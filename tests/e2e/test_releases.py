"""Releases of one small project on local AWS, one after the other: good ones serve, others cost no request.

The tests build on each other in the order in which they stand, as a user's runs do.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import deploy
from tests.e2e.pipeline import NAME, Hook, Pipeline, event, states, xcom

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RELEASE = "train_and_deploy"
WINDOW_SECONDS = 3
# More a minute than the pauses between requests allow, so that only the test of scaling makes it scale.
ENDPOINT = {
    "target_invocations_per_minute": 600,
    "deployment": {"wait_minutes": 1, "termination_wait_minutes": 0},
}
BROKEN = """
{before}
import os, time, sound
from sound import *

def transform_fn(model, body, content_type, accept, context):
    {fault}
    return sound.transform_fn(model, body, content_type, accept, context)
"""
# Each is trained anew, and as good as the other: what decides about them is done to their artifacts.
WORSE, BROKEN_ONE = {"max_runtime_minutes": 100}, {"max_runtime_minutes": 200}
Change = Callable[[dict[str, bytes]], dict[str, bytes]]


@pytest.fixture(scope="module")
def shapes(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    initdb()
    state_dir = tmp_path_factory.mktemp("releases")
    with running_local_aws(state_dir, LOCAL_AWS_SCALING_WINDOW=str(WINDOW_SECONDS)) as server:
        deploy(server.url)
        pipeline = Pipeline(tmp_path_factory.mktemp("project"), server.url, server.client)
        pipeline.write(endpoint=ENDPOINT)
        with pipeline.leading_here():
            yield pipeline


def newest_package(shapes: Pipeline) -> dict[str, Any]:
    sagemaker = shapes.client("sagemaker")
    (newest, *_) = sagemaker.list_model_packages(ModelPackageGroupName=NAME, SortOrder="Descending")[
        "ModelPackageSummaryList"
    ]
    return sagemaker.describe_model_package(ModelPackageName=newest["ModelPackageArn"])


def shifting(strategy: str, step_percent: int = 50) -> dict[str, Any]:
    """An endpoint's settings for a shift that lasts until the end of its test, unless it is taken back."""
    return ENDPOINT | {
        "deployment": {
            "strategy": strategy,
            "step_percent": step_percent,
            "wait_minutes": 20,
            "termination_wait_minutes": 0,
        }
    }


def change_candidate(shapes: Pipeline, change: Change) -> Hook:
    """A hook that changes what the run has trained."""
    return lambda context: shapes.change_artifact(
        context["ti"].xcom_pull(task_ids="train")["artifact"], change
    )


def mix_up_classes(files: dict[str, bytes]) -> dict[str, bytes]:
    first, *others = json.loads(files["classes.json"])
    return files | {"classes.json": json.dumps([*others, first]).encode()}


def break_serving(fault: str, before: str = "") -> Change:
    """A change after which each request, or first of all the start, does something else."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        sound = files.get("code/sound.py", files["code/inference.py"])
        return files | {
            "code/sound.py": sound,
            "code/inference.py": BROKEN.format(fault=fault, before=before).encode(),
        }

    return change


def models(answers: list[dict[str, Any]]) -> set[str]:
    """The models that have answered."""
    return {answer.get("model", "none") for answer in answers}


def assert_none_is_lost(answers: list[dict[str, Any]], expected: set[str]) -> None:
    """All requests were answered, by these models alone."""
    assert len(answers) > 20
    assert [answer for answer in answers if answer.get("model") not in expected] == []


def asked_so_far(answers: list[dict[str, Any]]) -> int:
    """How many requests were sent: those that were answered, and one that is under way."""
    return len(answers) + 1


def seconds_of_a_call(shapes: Pipeline) -> float:
    started = time.perf_counter()
    assert "predictions" in shapes.ask()
    return time.perf_counter() - started


def test_a_first_model_goes_live_and_provisioned_concurrency_answers_its_first_call_sooner(
    shapes: Pipeline,
) -> None:
    seconds: dict[str, float] = {}

    def ask_without_it(_: Any) -> None:
        # The model's own first request is no part of what is compared.
        shapes.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=NAME, ContentType="application/json", Body=json.dumps(event())
        )
        seconds["without"] = seconds_of_a_call(shapes)

    shapes.write(classifier={"epochs": 1}, function={"provisioned_concurrency": 1}, endpoint=ENDPOINT)
    run = shapes.run(
        RELEASE,
        before={
            "provision_concurrency": ask_without_it,
            "smoke_test": lambda _: seconds.update({"with": seconds_of_a_call(shapes)}),
        },
    )
    assert str(run.state) == "success", states(run)
    assert shapes.ask()["model"] == xcom(run, "create_model")
    print({name: f"{1000 * value:.0f} ms" for name, value in seconds.items()})
    assert seconds["with"] < seconds["without"]


def test_a_better_model_replaces_it_and_costs_no_request(shapes: Pipeline) -> None:
    before = shapes.ask()["model"]
    shapes.write(endpoint=ENDPOINT)
    with shapes.asked_without_pause() as answers:
        run = shapes.run(RELEASE)
        told = asked_so_far(answers)
        time.sleep(1)
    assert str(run.state) == "success", states(run)
    after = xcom(run, "create_model")
    evaluation = xcom(run, "gate", "evaluation")
    assert evaluation["candidate"]["accuracy"] > evaluation["live"]["accuracy"]
    assert before != after
    assert_none_is_lost(answers, {before, after})
    assert models(answers[told:]) == {after}


def test_a_worse_model_is_rejected_by_the_gate(shapes: Pipeline) -> None:
    before = shapes.ask()["model"]
    shapes.write(training=WORSE, endpoint=ENDPOINT)
    with shapes.asked_without_pause() as answers:
        run = shapes.run(RELEASE, before={"evaluate": change_candidate(shapes, mix_up_classes)})
    assert str(run.state) == "success", states(run)
    found = states(run)
    assert (found["gate"], found["deploy_endpoint"], found["smoke_test"]) == ("skipped",) * 3
    reason = xcom(run, "gate", "decision")
    assert reason.startswith("The candidate is worse: accuracy 0.")
    assert reason in xcom(run, "report")["outcome"]
    assert_none_is_lost(answers, {before})
    package = newest_package(shapes)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Rejected", reason)


@pytest.mark.parametrize(
    ("change", "settings", "failing_step", "cause"),
    [
        pytest.param(
            break_serving("", before="1 / 0"),
            {"endpoint": ENDPOINT},
            "deploy_endpoint",
            "did not pass the ping health check",
            id="that cannot start",
        ),
        pytest.param(
            break_serving("model.classes = sorted(model.classes, reverse=True)"),
            {"endpoint": ENDPOINT},
            "smoke_test",
            "accuracy",
            id="that answers wrongly",
        ),
        pytest.param(
            break_serving("os._exit(1)"),
            {"endpoint": shifting("canary")},
            "deploy_endpoint",
            "did not pass the ping health check|server-errors",
            id="that dies in mid-shift",
        ),
        pytest.param(
            break_serving("os._exit(1)"),
            {"endpoint": shifting("all_at_once")},
            "deploy_endpoint",
            "did not pass the ping health check|server-errors",
            id="that dies in service",
        ),
        pytest.param(
            break_serving("1 / 0"),
            {"endpoint": shifting("linear", step_percent=10)},
            "deploy_endpoint",
            "shapes-server-errors",
            id="that raises the alarm for errors in mid-shift",
        ),
        pytest.param(
            break_serving("time.sleep(0.5)"),
            {"endpoint": shifting("canary"), "alarms": {"max_latency_ms": 400}},
            "deploy_endpoint",
            "shapes-latency",
            id="that raises the alarm for latency in mid-shift",
        ),
        pytest.param(
            break_serving("time.sleep(1)"),
            {"endpoint": ENDPOINT, "smoke_test": {"max_p95_ms": 1000}},
            "smoke_test",
            r"at most 1000 ms are allowed \(smoke_test.max_p95_ms\)",
            id="that is too slow",
        ),
    ],
)
def test_a_model_is_taken_back_and_costs_no_request(
    shapes: Pipeline, change: Change, settings: dict[str, Any], failing_step: str, cause: str
) -> None:
    before = shapes.ask()["model"]
    shapes.write(training=BROKEN_ONE, **settings)
    with shapes.asked_without_pause() as answers:
        run = shapes.run(RELEASE, before={"register": change_candidate(shapes, change)})
        told = asked_so_far(answers)
        time.sleep(1)
    found = states(run)
    assert str(run.state) == "failed"
    assert (found[failing_step], found["rollback"]) == ("failed", "success"), found
    broken = xcom(run, "create_model")
    assert_none_is_lost(answers, {before, broken})
    assert models(answers[told:]) == {before}
    package = newest_package(shapes)
    assert package["ModelApprovalStatus"] == "Rejected"
    assert re.search(f"{failing_step} failed: .*({cause})", package["ApprovalDescription"])


def test_load_makes_the_endpoint_scale_out_and_in_again(
    shapes: Pipeline, eventually: Callable[..., Any]
) -> None:
    sagemaker = shapes.client("sagemaker")

    def instances() -> int:
        (variant,) = sagemaker.describe_endpoint(EndpointName=NAME)["ProductionVariants"]
        return variant["CurrentInstanceCount"]

    assert instances() == 1
    with ExitStack() as clients:
        loads = [clients.enter_context(shapes.asked_without_pause(0)) for _ in range(4)]
        eventually(lambda: instances() == 2)
    eventually(lambda: instances() == 1)
    for answers in loads:
        assert_none_is_lost(answers, {shapes.ask()["model"]})


def test_a_person_lets_an_earlier_version_serve_again(shapes: Pipeline) -> None:
    refused = shapes.run("rollback", version="3")
    assert str(refused.state) == "failed"
    assert "'3' is no version to go back to; there are 1, and" in xcom(refused, "choose_version", "failure")
    left = shapes.ask()["model"]
    with shapes.asked_without_pause() as answers:
        run = shapes.run("rollback", version="1")
        told = asked_so_far(answers)
        time.sleep(1)
    assert str(run.state) == "success", states(run)
    assert states(run)["ask_for_version"] == "skipped"
    back = xcom(run, "create_model")
    assert back != left
    assert_none_is_lost(answers, {left, back})
    assert models(answers[told:]) == {back}


def test_the_clock_tears_down_an_endpoint_that_nobody_asks_and_no_other(
    shapes: Pipeline, eventually: Callable[..., Any]
) -> None:
    hours = 0.002
    shapes.write(endpoint={**ENDPOINT, "ttl_hours": hours})
    time.sleep(3600 * hours)
    with shapes.asked_without_pause() as answers:
        eventually(lambda: len(answers) > 5)  # the metrics know of the first by then
        kept = shapes.run("teardown", run_type="scheduled")
    assert re.fullmatch(
        r"Endpoint shapes was asked \d+ times in the last .* h\.", xcom(kept, "confirm", "reason")
    )
    assert "predictions" in shapes.ask()
    time.sleep(3600 * hours)
    run = shapes.run("teardown", run_type="scheduled")
    while xcom(run, "confirm", "reason"):  # the metrics may know late of the last requests
        run = shapes.run("teardown", run_type="scheduled")
    assert str(run.state) == "success"
    assert shapes.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert shapes.client("lambda").list_functions()["Functions"] == []
