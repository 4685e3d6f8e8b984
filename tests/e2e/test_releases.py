"""Test releases of a small project on local AWS: a good model goes live, a bad one is rolled back, no request fails.

tests/include/local_aws/sagemaker/test_deployments.py proves how an endpoint update fails: by an alarm, or because the
model's process dies. tests/plugins/amazon_ml/operators/test_sagemaker_endpoint.py proves how the operator reports that,
also of a model that does not start. tests/include/pipeline/test_smoke_test.py proves what a smoke test rejects, and
tests/include/lambda_function/test_handler.py that the function asks again where the endpoint gives no answer. These
tests prove that the pipeline rolls back, both from a step that fails during the traffic shift and from one that fails
after it.

The tests can run alone and in any order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import deploy
from include.pipeline import approval, names, teardown
from tests.e2e.callers import BadCaller
from tests.e2e.pipeline import NAME, PERSON, Choice, Hook, Pipeline, states, xcom

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

RELEASE = "train_and_deploy"
# The target is so high that the requests of these tests do not make the endpoint scale.
ENDPOINT = {
    "target_invocations_per_minute": 6000,
    "deployment": {"wait_minutes": 1, "termination_wait_minutes": 0},
}
# The new model gets half of the requests at first. Without an alarm, the shift takes several minutes.
SHIFT = {
    **ENDPOINT,
    "min_instances": 2,
    "max_instances": 2,
    "deployment": {
        "strategy": "linear",
        "step_percent": 50,
        "wait_minutes": 60,
        "termination_wait_minutes": 60,
    },
}
# The limits for latency are so high that a good model passes on a slow machine.
ANY_TIME = {"alarms": {"max_latency_ms": 600_000}, "smoke_test": {"images": 5, "max_p95_ms": 600_000}}
# A malformed request is refused before the fault, as in the sound model.
BROKEN = b"""
from . import sound
from .sound import *

sound_predict = sound._predict

def broken_predict(model, request):
    sound_predict(model, request)
    raise ValueError("The model is broken.")

sound._predict = broken_predict
"""
INFERENCE, SOUND = "code/image_classifier/inference.py", "code/image_classifier/sound.py"
WEAK = {
    "classifier": {"epochs": 1},
    "tuning": {"learning_rate": [0.03, 0.04]},
    "function": {"provisioned_concurrency": 1},
}
# This setting starts a new training. The tests change its artifact one after the other.
CHANGED = {"max_runtime_minutes": 100}
# The gate accepts any candidate.
ANY_ACCURACY = {"margin": -1}
Change = Callable[[dict[str, bytes]], dict[str, bytes]]


@dataclass(frozen=True)
class Released:
    """A release and the answers to the requests that were sent meanwhile.

    :param run: the run.
    :param before: the model that answered before the run.
    :param during: the answers to all requests.
    :param after: the answers to requests that were sent after the run.
    :param per_second: the number of answers in a second.
    :param refused: what a caller sent meanwhile that can't be answered, each with the status of the answer.
    """

    run: Any
    before: str
    during: list[dict[str, Any]]
    after: list[dict[str, Any]]
    per_second: float
    refused: list[tuple[str, Any]]

    def row(self, what: str) -> str:
        """Return what callers have seen, for people."""
        answered = [answer for answer in self.during if "model" in answer]
        bad = [status for _, status in self.refused]
        return (
            f"{what:32} {len(answered)} of {len(self.during)} requests ({self.per_second:.0f} a second) "
            f"answered by {len(models(answered))} models, "
            f"{len(bad)} malformed ones got {sorted(set(bad))}; {self.run.state}, "
            f"serves {'what served before' if models(self.after) == {self.before} else 'the new model'}"
        )


class Shapes(Pipeline):
    """The project, with methods that release its models."""

    def set(self, **changes: Any) -> None:
        """Write the project's file with limits that hold on any machine."""
        self.write(**{**ANY_TIME, "endpoint": ENDPOINT, **changes})

    def serving(self) -> str | None:
        """Return the model that answers, or None if there is no function."""
        found = [item["FunctionName"] for item in self.client("lambda").list_functions()["Functions"]]
        return self.ask()["model"] if NAME in found else None

    def release(
        self,
        before: dict[str, Hook] | None = None,
        answers: dict[str, Choice] | None = None,
        conf: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Released:
        """Run a release while requests are sent."""
        self.set(**changes)
        bucket = self.client("s3").list_buckets()["Buckets"][0]["Name"]
        with self.asked() as asking, BadCaller(self.client, NAME, bucket) as bad_caller:
            (first,) = asking.next(1)
            run = self.run(RELEASE, before=before, answers=answers, **(conf or {}))
            after, per_second = asking.next(), asking.per_second
        # However malformed, a request is never answered by an error of the server.
        assert errors(bad_caller.by_function) == {}
        assert errors(bad_caller.by_endpoint) == {}
        refused = bad_caller.by_function + bad_caller.by_endpoint
        return Released(run, first["model"], asking.answers, after, per_second, refused)

    def release_weak(self, before: dict[str, Hook] | None = None) -> Any:
        """Release a model that is trained for one epoch, and return the run."""
        self.set(**WEAK)
        run = self.run(RELEASE, before=before)
        assert str(run.state) == "success", states(run)
        return run


@pytest.fixture(scope="module")
def shapes(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shapes]:
    initdb()
    # The periods of alarms and of scaling are three seconds instead of a minute.
    with running_local_aws(tmp_path_factory.mktemp("releases"), LOCAL_AWS_SCALING_WINDOW="3") as server:
        deploy(server.url)
        shapes = Shapes(tmp_path_factory.mktemp("project"), server.url, server.client)
        shapes.set()
        with shapes.leading_here():
            yield shapes


@pytest.fixture(scope="module")
def first(shapes: Shapes) -> Any:
    """Return the run that has released the first model."""
    return shapes.release_weak()


@pytest.fixture
def live(shapes: Shapes, first: Any) -> str:
    """Make sure that a model is live, and return it."""
    serving = shapes.serving()
    if serving is None:  # another test has torn the project down
        shapes.release_weak()
    return serving or shapes.ask()["model"]


@pytest.fixture(scope="module")
def better(shapes: Shapes, first: Any) -> Released:
    """Return the release of a better model, which is trained on two instances."""
    if shapes.serving() != xcom(first, "create_model"):
        shapes.release_weak()
    return shapes.release(training={"instance_count": 2})


@pytest.fixture(scope="module")
def rejected(shapes: Shapes, first: Any) -> Released:
    """Return a run that trains the first model again, on EC2. A person rejects that model."""
    if shapes.serving() is None:  # another test has torn the project down
        shapes.release_weak()
    return shapes.release(
        answers={"approve": lambda options: approval.REJECT},
        conf={"train_on": "ec2", "require_approval": True},
        gate=ANY_ACCURACY,
        **WEAK,
    )


@pytest.fixture(scope="module")
def worse(shapes: Shapes, first: Any) -> tuple[Released, dict[str, Any]]:
    """Return the release of a worse model, and the package that it has registered."""
    if shapes.serving() is None:  # another test has torn the project down
        shapes.release_weak()
    released = shapes.release({"evaluate": change_candidate(shapes, mix_up_classes)}, training=CHANGED)
    return released, package_of(shapes, released.run)


def package_of(shapes: Shapes, run: Any) -> dict[str, Any]:
    """Return the model package that a run has registered."""
    return shapes.client("sagemaker").describe_model_package(ModelPackageName=xcom(run, "register")["arn"])


def change_candidate(shapes: Shapes, change: Change) -> Hook:
    """Return a hook that changes the artifact that the run has trained."""
    return lambda context: shapes.change_artifact(
        context["ti"].xcom_pull(task_ids="train")["artifact"], change
    )


def sound(files: dict[str, bytes]) -> dict[str, bytes]:
    """Undo what a test has changed, since the tests change the same artifact one after the other."""
    code = files.pop(SOUND, files[INFERENCE])
    classes = json.dumps(sorted(json.loads(files["classes.json"]))).encode()
    return files | {INFERENCE: code, "classes.json": classes}


def mix_up_classes(files: dict[str, bytes], by: int = 1) -> dict[str, bytes]:
    files = sound(files)
    classes = json.loads(files["classes.json"])
    return files | {"classes.json": json.dumps([*classes[by:], *classes[:by]]).encode()}


def mix_up_otherwise(files: dict[str, bytes]) -> dict[str, bytes]:
    """Mix up the classes otherwise than in the model that was evaluated."""
    return mix_up_classes(files, by=2)


def break_serving(files: dict[str, bytes]) -> dict[str, bytes]:
    """Let each request raise an error."""
    files = sound(files)
    return files | {SOUND: files[INFERENCE], INFERENCE: BROKEN}


def errors(answers: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return what was not answered by an error of the caller, with the status of its answer."""
    return {what: status for what, status in answers if not 400 <= status < 500}


def models(answers: list[dict[str, Any]]) -> set[str]:
    """Return the models that have answered."""
    return {answer.get("model", "none") for answer in answers}


def metric(shapes: Shapes, namespace: str, name: str, **dimensions: str) -> float:
    """Return the sum of a metric from two hours ago to two hours from now."""
    now = datetime.now(UTC)
    answer = shapes.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=2),
        EndTime=now + timedelta(hours=2),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


def test_a_first_model_goes_live_and_provisioned_concurrency_answers(
    shapes: Shapes, first: Any, eventually: Callable[..., Any]
) -> None:
    images = len(xcom(first, "smoke_test")["requests"])
    # The smoke test sends each image, a batch and invalid requests.
    eventually(
        lambda: metric(shapes, "AWS/Lambda", "ProvisionedConcurrencyInvocations", FunctionName=NAME) > images
    )
    assert metric(shapes, "AWS/Lambda", "ProvisionedConcurrencySpilloverInvocations", FunctionName=NAME) == 0


def test_a_better_model_replaces_it_and_costs_no_request(better: Released) -> None:
    assert str(better.run.state) == "success", states(better.run)
    model = xcom(better.run, "create_model")
    evaluation = xcom(better.run, "gate")["evaluation"]
    assert evaluation["candidate"]["accuracy"] > evaluation["live"]["accuracy"]
    assert better.before != model
    assert models(better.during) == {better.before, model}
    assert models(better.after) == {model}
    print(better.row("that is good"))


def test_two_instances_have_trained_it_together(shapes: Shapes, better: Released) -> None:
    name = xcom(better.run, "train")["name"]
    job = shapes.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["ResourceConfig"]["InstanceCount"]) == ("Completed", 2)
    streams = shapes.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    assert [stream["logStreamName"].split("/")[1].rpartition("-")[0] for stream in streams] == [
        "algo-1",
        "algo-2",
    ]
    assert {metric["MetricName"] for metric in job["FinalMetricDataList"]} >= {"best:validation_accuracy"}


def test_a_worse_model_is_rejected_by_the_gate(worse: tuple[Released, dict[str, Any]]) -> None:
    released, package = worse
    assert str(released.run.state) == "success", states(released.run)
    found = states(released.run)
    assert (found["gate"], found["record_approval"]) == ("success", "success")
    assert (found["approve"], found["deploy_endpoint"], found["smoke_test"]) == ("skipped",) * 3
    reason = xcom(released.run, "gate")["reason"]
    assert reason.startswith("The candidate is worse: accuracy 0.")
    assert reason in xcom(released.run, "report")["outcome"]
    assert models(released.during) == {released.before}
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Rejected", reason)


@pytest.mark.parametrize(
    ("change", "settings", "failing_step", "cause"),
    [
        pytest.param(
            mix_up_otherwise,
            {},
            "smoke_test",
            "The endpoint differs from the evaluated model",
            id="that answers wrongly",
        ),
        pytest.param(
            break_serving,
            {"endpoint": SHIFT},
            "deploy_endpoint",
            "shapes-release-server-errors",
            id="that raises an alarm in mid-shift",
        ),
    ],
)
@pytest.mark.usefixtures("worse")  # it has evaluated the model
def test_a_model_is_taken_back_and_costs_no_request(
    request: pytest.FixtureRequest,
    shapes: Shapes,
    live: str,
    change: Change,
    settings: dict[str, Any],
    failing_step: str,
    cause: str,
) -> None:
    released = shapes.release(
        {"register": change_candidate(shapes, change)},
        training=CHANGED,
        gate=ANY_ACCURACY,
        **settings,
    )
    print(released.row(request.node.callspec.id))
    found = states(released.run)
    assert str(released.run.state) == "failed"
    assert (found[failing_step], found["rollback"]) == ("failed", "success"), found
    broken = xcom(released.run, "create_model")
    assert models(released.during) <= {live, broken}
    assert models(released.after) == {live}
    package = package_of(shapes, released.run)
    assert package["ModelApprovalStatus"] == "Rejected"
    assert re.search(f"{failing_step} failed: .*({cause})", package["ApprovalDescription"])


def test_several_ec2_instances_are_refused_before_anything_is_done(shapes: Shapes) -> None:
    run = shapes.run(RELEASE, train_on="ec2", instance_count=2)
    assert str(run.state) == "failed"
    found = states(run)
    assert (found.pop("preflight"), found.pop("rollback")) == ("failed", "skipped")
    assert set(found.values()) == {"upstream_failed"}
    assert "EC2 trains on one instance, not on 2" in xcom(run, "preflight", "failure")


def test_an_ec2_instance_trains_the_same_model_and_is_terminated(
    shapes: Shapes, first: Any, rejected: Released
) -> None:
    found = states(rejected.run)
    assert (found["train"], found["train_on_ec2"], found["evaluate"]) == ("skipped", "success", "success")
    trained, there = xcom(rejected.run, "train_on_ec2"), xcom(first, "train")
    assert trained["metrics"] == there["metrics"]
    assert trained.keys() - {"instance_id"} == there.keys() - {"arn"}
    (reservation,) = shapes.client("ec2").describe_instances(InstanceIds=[trained["instance_id"]])[
        "Reservations"
    ]
    assert [instance["State"]["Name"] for instance in reservation["Instances"]] == ["terminated"]
    steps = xcom(rejected.run, "report")["cost"]["actual"]["steps"]
    (billed,) = [step for step in steps if step["step"] == "train"]
    assert (billed["seconds"], billed["reused"]) == (trained["billable_seconds"], False)


def test_a_model_that_a_person_rejects_goes_no_further(shapes: Shapes, rejected: Released) -> None:
    found = states(rejected.run)
    assert str(rejected.run.state) == "success", found
    assert (found["approve"], found["report"]) == ("success", "success")
    assert (found["record_approval"], found["create_model"], found["deploy_endpoint"]) == (
        "success",
        "skipped",
        "skipped",
    )
    package = package_of(shapes, rejected.run)
    assert package["ModelApprovalStatus"] == "Rejected"
    assert f"Rejected by {PERSON}" in package["ApprovalDescription"]
    assert models(rejected.during) == {rejected.before}


def test_requests_make_the_endpoint_scale_out_and_in_again(
    shapes: Shapes, live: str, eventually: Callable[..., Any]
) -> None:
    sagemaker, scaling = shapes.client("sagemaker"), shapes.client("application-autoscaling")

    def instances() -> int:
        (variant,) = sagemaker.describe_endpoint(EndpointName=NAME)["ProductionVariants"]
        return variant["CurrentInstanceCount"]

    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == ENDPOINT["target_invocations_per_minute"]
    keys = ("PolicyName", "PolicyType", "ServiceNamespace", "ResourceId", "ScalableDimension")
    same = {key: policy[key] for key in keys}
    # One request a minute is so few that the requests exceed it on any machine.
    few = {**tracking, "TargetValue": 1.0}
    scaling.put_scaling_policy(**same, TargetTrackingScalingPolicyConfiguration=few)
    with shapes.asked() as asking:
        eventually(lambda: instances() == 2)
        asking.next()
    eventually(lambda: instances() == 1)
    scaling.put_scaling_policy(**same, TargetTrackingScalingPolicyConfiguration=tracking)
    assert models(asking.answers) == {live}


def test_a_person_chooses_which_earlier_version_serves_again(
    shapes: Shapes, better: Released, live: str
) -> None:
    offered: list[str] = []

    def choose(options: list[str]) -> str:
        offered.extend(options)
        return options[0]

    with shapes.asked() as asking:
        asking.next(1)
        run = shapes.run("rollback", answers={"ask_for_version": choose})
        after = asking.next()
    assert str(run.state) == "success", states(run)
    assert re.fullmatch(r"\d+: accuracy \S+, released \S+", offered[0])
    assert xcom(run, "ask_for_version")["responded_by_user"]["name"] == PERSON
    assert str(xcom(run, "choose_version")["version"]) == offered[0].partition(":")[0]
    back = xcom(run, "create_model")
    assert back != live
    assert models(asking.answers) == {live, back}
    assert models(after) == {back}


def test_the_clock_leaves_an_endpoint_that_is_asked_and_tears_down_one_that_is_not(
    shapes: Shapes, live: str, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes.set(endpoint={**ENDPOINT, "ttl_hours": 1})
    assert shapes.ask()["model"] == live
    changed = shapes.client("sagemaker").describe_endpoint(EndpointName=NAME)["LastModifiedTime"]
    asked = {"EndpointName": NAME, "VariantName": names.VARIANT}
    eventually(lambda: metric(shapes, "AWS/SageMaker", "Invocations", **asked) > 0)

    def look(hours: float) -> Any:
        """Run the DAG as scheduled, at a time so many hours after the last change of the endpoint."""
        monkeypatch.setattr(teardown, "datetime", clock_at(changed + timedelta(hours=hours)))
        return shapes.run("teardown", run_type="scheduled")

    kept = look(1)
    assert re.fullmatch(
        r"Endpoint shapes was invoked \d+ times in the last 1 h\.", xcom(kept, "confirm", "verdict")
    )
    assert shapes.ask()["model"] == live
    gone = look(3)
    assert str(gone.state) == "success", states(gone)
    assert shapes.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert shapes.client("lambda").list_functions()["Functions"] == []


def clock_at(moment: datetime) -> type[datetime]:
    """Return a datetime class whose `now` is always this moment."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return moment.astimezone(tz)

    return Clock
