"""Updates of endpoints that shift traffic, watch alarms and roll back; a minute of theirs lasts a second."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

# A request with a gate is the last one: once there is a file of that name, the process ends.
MORTAL = """
import json, os, pathlib, threading, time

def die(gate):
    while not pathlib.Path(gate).exists():
        time.sleep(0.02)
    os._exit(1)

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept, context):
    request = json.loads(body)
    if "gate" in request:
        threading.Thread(target=die, args=(request["gate"],)).start()
    return json.dumps({"answer": "green", "pid": os.getpid()}), "application/json"
"""


def canary(percent: int, wait: int, termination: int = 0, alarms: tuple[str, ...] = ()) -> dict[str, Any]:
    """A deployment by a canary, in percent and seconds."""
    deployment: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
                "WaitIntervalInSeconds": wait,
            },
            "TerminationWaitInSeconds": termination,
        }
    }
    if alarms:
        deployment["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return deployment


def all_at_once(wait: int, alarms: tuple[str, ...] = ()) -> dict[str, Any]:
    """A deployment that shifts all traffic in one step, in seconds."""
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": wait}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}
    return {"BlueGreenUpdatePolicy": policy, **(rollback if alarms else {})}


@pytest.fixture
def alarm(local_aws: Any) -> Iterator[Callable[..., str]]:
    """Makes alarms above 0; they are deleted after the test."""
    client, names = local_aws.client("cloudwatch"), []

    def put(metric: str, missing: str, **dimensions: str) -> str:
        names.append(f"alarm-{uuid.uuid4().hex[:8]}")
        client.put_metric_alarm(
            AlarmName=names[-1],
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0.0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData=missing,
        )
        return names[-1]

    yield put
    client.delete_alarms(AlarmNames=names)


@pytest.fixture
def state(local_aws: Any) -> Callable[[str], str]:
    """Return the state of an alarm."""
    client = local_aws.client("cloudwatch")
    return lambda name: client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]


@pytest.fixture
def stage(sagemaker: Any, name: str) -> Callable[[], str | None]:
    """Return the stage of the update of the test's endpoint; None when there is none."""

    def read() -> str | None:
        summary = sagemaker.describe_endpoint(EndpointName=name).get("PendingDeploymentSummary")
        return summary and summary["ProductionVariants"][0]["VariantStatus"][0]["Status"]

    return read


def test_a_canary_ends_with_all_traffic_and_without_the_old_fleet(
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    old = invoke()["pid"]
    config = endpoint_config("second", count=4, green=1.0)
    updated = threading.Event()
    answers: set[str] = set()

    def ask() -> None:
        while not updated.is_set():
            answers.add(invoke({"seconds": 0.02})["answer"])

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        eventually(lambda: answers == {"blue"})
        sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=canary(25, 60, 60)
        )
        description = settled()
        last = invoke()["answer"]
        eventually(lambda: "green" in answers)
        updated.set()
        for each in asking:
            each.result()
    assert description["EndpointConfigName"] == config
    assert description["LastDeploymentConfig"] == canary(25, 60, 60)
    assert "PendingDeploymentSummary" not in description
    assert (last, answers) == ("green", {"blue", "green"})
    eventually(lambda: not psutil.pid_exists(old))


def test_an_alarm_that_is_raised_by_the_canary_rolls_the_update_back(
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
    stage: Callable[[], str | None],
    alarm: Callable[..., str],
    state: Callable[[str], str],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    before, config = settled()["EndpointConfigName"], endpoint_config("second", count=4, green=1.0)
    errors = alarm(
        "Invocation5XXErrors",
        "notBreaching",
        EndpointName=endpoint,
        VariantName="green",
        EndpointConfigName=config,
    )
    eventually(lambda: state(errors) == "OK")
    sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=canary(25, 3600, 0, (errors,))
    )
    eventually(lambda: stage() == "Baking")
    pending = sagemaker.describe_endpoint(EndpointName=endpoint)
    assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == config
    assert (pending["EndpointStatus"], pending["EndpointConfigName"]) == ("Updating", before)
    eventually(lambda: {invoke()["answer"] for _ in range(8)} == {"blue", "green"})
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(1) as pool:
        in_flight = pool.submit(invoke, {"gate": str(gate)}, TargetVariant="green")
        eventually(gate.with_suffix(".begun").exists)
        with pytest.raises(ClientError, match="the model stumbled"):
            invoke({"fail": True}, TargetVariant="green")

        def is_rolling_back() -> bool:
            with suppress(ClientError):
                invoke({"fail": True}, TargetVariant="green")  # again in each period of the alarm
            return sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "RollingBack"

        eventually(is_rolling_back)
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            sagemaker.delete_endpoint(EndpointName=endpoint)
        gate.touch()
        assert in_flight.result()["answer"] == "green", "what is being answered is not cut off"
    description = settled()
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", before)
    assert f"ALARM state: [{errors}]" in description["FailureReason"]
    assert {invoke()["answer"] for _ in range(10)} == {"blue"}


def test_an_alarm_that_is_raised_already_rolls_the_update_back_before_traffic_shifts(
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    alarm: Callable[..., str],
    state: Callable[[str], str],
    eventually: Callable[..., Any],
    invoke: Callable[..., Any],
) -> None:
    raised = alarm("Silence", "breaching")
    eventually(lambda: state(raised) == "ALARM")
    updated = threading.Event()

    def ask() -> set[str]:
        answers = {invoke()["answer"]}
        while not updated.is_set():
            answers.add(invoke({"seconds": 0.01})["answer"])
        return answers

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        sagemaker.update_endpoint(
            EndpointName=endpoint,
            EndpointConfigName=endpoint_config("second", count=2, green=1.0),
            DeploymentConfig=canary(50, 3600, 0, (raised,)),
        )
        description = settled()
        updated.set()
        assert asking.result() == {"blue"}
    assert raised in description["FailureReason"]


@pytest.mark.parametrize(
    ("deployment", "count"),
    [
        pytest.param(canary(50, 3600), 2, id="with half of the traffic"),
        pytest.param(all_at_once(3600), 1, id="with all of the traffic"),
    ],
)
def test_a_new_fleet_that_dies_while_it_bakes_rolls_the_update_back_and_no_request_is_lost(
    deployment: dict[str, Any],
    count: int,
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
    stage: Callable[[], str | None],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    config = endpoint_config("mortal", script=MORTAL, count=count, green=1.0)
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=deployment)
    eventually(lambda: stage() == "Baking")
    gate = tmp_path / "gate"
    dead = {invoke({"gate": str(gate)}, TargetVariant="green")["pid"] for _ in range(count)}
    assert len(dead) == count
    gate.touch()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in dead))
    assert {invoke()["answer"] for _ in range(20)} == {"blue"}
    assert "did not pass the ping health check" in settled()["FailureReason"]


def test_an_update_that_is_refused_leaves_the_endpoint_in_service(
    sagemaker: Any, endpoint: str, settled: Callable[[], dict[str, Any]]
) -> None:
    config = settled()["EndpointConfigName"]
    for deployment, sentence in (
        (canary(60, 60), "CanarySize must be 1 to 50 percent"),
        (canary(25, 60), "25 percent of 1 instances, which is less than one instance"),
        (all_at_once(60, ("nobody",)), r"alarms that do not exist: \[nobody\]"),
    ):
        with pytest.raises(ClientError, match=f"ValidationException.*{sentence}"):
            sagemaker.update_endpoint(
                EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=deployment
            )
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService"


def test_an_endpoint_whose_configuration_was_deleted_answers_but_cannot_be_updated(
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
) -> None:
    before, wanted = settled()["EndpointConfigName"], endpoint_config("second", green=1.0)
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=before)["ProductionVariants"]
    sagemaker.delete_endpoint_config(EndpointConfigName=before)
    assert invoke()["answer"] == "blue"
    with pytest.raises(ClientError, match=f'Could not find endpoint configuration "arn:.*{before}"'):
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=wanted)
    sagemaker.create_endpoint_config(EndpointConfigName=before, ProductionVariants=variants)
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=wanted)
    assert settled()["EndpointConfigName"] == wanted
