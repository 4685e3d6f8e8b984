"""Training on EC2 against local AWS: the instance is used once, adopted, and always terminated."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from amazon_ml.operators import ec2_training
from amazon_ml.operators.ec2_training import EC2TrainingOperator
from amazon_ml.triggers.ec2_training import EC2CommandTrigger
from botocore.exceptions import ClientError

from tests.plugins.amazon_ml.operators.context import Context

IMAGE = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-ubuntu-24.04/latest/ami-id"
PROFILE = "training"
BUCKET = "operators"
FOREVER = "sleep 600"
# The last step of the commands of a training, as a program with four arguments: bucket, name, status, reason.
LEAVE = """
import boto3, json, os, sys
bucket, name, status, reason = sys.argv[1:]
s3 = boto3.client("s3")
model = f"{name}/output/model.tar.gz"
if status == "Completed":
    s3.put_object(Bucket=bucket, Key=model, Body=b"model")
record = {
    "TrainingJobStatus": status,
    "FailureReason": reason,
    "InstanceId": os.environ["INSTANCE_ID"],
    "CreationTime": os.environ["INSTANCE_LAUNCH_TIME"],
    "TrainingStartTime": "2026-01-01T00:00:00+00:00",
    "TrainingEndTime": "2026-01-01T00:00:09+00:00",
    "TrainingTimeInSeconds": 9,
    "BillableTimeInSeconds": 60,
    "ModelArtifacts": {"S3ModelArtifacts": f"s3://{bucket}/{model}"},
    "FinalMetricDataList": [{"MetricName": "score", "Value": 0.5}],
}
s3.put_object(Bucket=bucket, Key=f"{name}/record.json", Body=json.dumps(record).encode())
"""
Eventually = Callable[..., Any]
Config = dict[str, Any]


def leave(name: str, status: str = "Completed", reason: str = "") -> str:
    return f"python3 -c {quote(LEAVE)} {BUCKET} {name} {status} {quote(reason)}"


@pytest.fixture
def config(aws: Any) -> Callable[..., Config]:
    """A training with the given commands, or with commands that immediately write a model and a record."""
    iam = aws.client("iam")
    if PROFILE not in [
        profile["InstanceProfileName"] for profile in iam.list_instance_profiles()["InstanceProfiles"]
    ]:
        iam.create_role(RoleName=PROFILE, AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName=PROFILE)
        iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
    image = aws.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]

    def make(*commands: str, timeout: int = 600) -> Config:
        name = f"birds-train-{uuid.uuid4().hex[:8]}"
        tags = [{"Key": "project", "Value": "birds"}, {"Key": "Name", "Value": name}]
        return {
            "Name": name,
            "Instance": {
                "ImageId": image,
                "InstanceType": "g4dn.xlarge",
                "MinCount": 1,
                "MaxCount": 1,
                "IamInstanceProfile": {"Name": PROFILE},
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            },
            "Commands": list(commands) or ["echo learning", leave(name)],
            "ExecutionTimeout": timeout,
            "LogGroup": "/training/birds",
            "Record": f"s3://{BUCKET}/{name}/record.json",
        }

    return make


def operator(config: Config, **kwargs: Any) -> EC2TrainingOperator:
    arguments: dict[str, Any] = {"deferrable": False, "poll_interval": 0.3}
    return EC2TrainingOperator(task_id="train_on_ec2", config=config, **(arguments | kwargs))


def deferred(method: Callable[..., Any], **arguments: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as wait:
        method(Context(), **arguments)
    return wait.value


def run(task: EC2TrainingOperator, context: Any = None) -> Any:
    """Run a task as Airflow does: after each deferral, run the trigger, then the given method."""
    context = context or Context()
    method, arguments = task.execute, {}
    while True:
        try:
            return method(context, **arguments)
        except TaskDeferred as wait:
            arguments = {"event": asyncio.run(wait.trigger.wait()), **(wait.kwargs or {})}
            task.instance_id = None  # another process continues
            method = getattr(task, wait.method_name)


def until_command(config: Config) -> TaskDeferred:
    """Run a task up to the wait for its command."""
    task = operator(config, deferrable=True)
    wait = deferred(task.execute)
    return deferred(task.execute_command, event=asyncio.run(wait.trigger.wait()))


def instances(aws: Any, config: Config) -> list[dict[str, Any]]:
    """Return all instances of a training, including terminated ones."""
    found = aws.client("ec2").describe_instances(Filters=[{"Name": "tag:Name", "Values": [config["Name"]]}])
    return [instance for reservation in found["Reservations"] for instance in reservation["Instances"]]


def states(aws: Any, config: Config) -> set[str]:
    return {instance["State"]["Name"] for instance in instances(aws, config)}


def is_gone(aws: Any, config: Config) -> bool:
    return states(aws, config) <= {"shutting-down", "terminated"}


def commands(aws: Any, config: Config) -> list[dict[str, Any]]:
    return [c for c in aws.client("ssm").list_commands()["Commands"] if c["Comment"] == config["Name"]]


class TestEC2TrainingOperator:
    def test_template_fields(self) -> None:
        assert EC2TrainingOperator.template_fields == ("aws_conn_id", "config", "region_name", "verify")

    @pytest.mark.usefixtures("with_console")
    @pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
    def test_training_logs_the_output_returns_a_result_and_terminates_the_instance(
        self, aws: Any, config: Callable[..., Config], capsys: Any, deferrable: bool
    ) -> None:
        wanted, context = config(), Context()
        result = run(operator(wanted, deferrable=deferrable), context)
        (instance,) = instances(aws, wanted)
        assert result == {
            "name": wanted["Name"],
            "status": "Completed",
            "artifact": f"s3://{BUCKET}/{wanted['Name']}/output/model.tar.gz",
            "metrics": {"score": 0.5},
            "training_seconds": 9,
            "billable_seconds": 60,
            "started": "2026-01-01T00:00:00+00:00",
            "ended": "2026-01-01T00:00:09+00:00",
            "instance_id": instance["InstanceId"],
        }
        assert "stdout: learning" in capsys.readouterr().out
        assert is_gone(aws, wanted)
        assert operator(wanted).read_record()["CreationTime"] == instance["LaunchTime"]  # type: ignore[index]
        assert context.pushed["_instance_id"]["instance_id"] == instance["InstanceId"]
        assert context.pushed["command_logs"]["log_group"] == "/training/birds"

    def test_completed_training_is_used_if_its_model_exists(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        assert run(operator(wanted)) == run(task := operator(wanted))
        assert len(instances(aws, wanted)) == 1
        aws.client("s3").delete_object(Bucket=BUCKET, Key=f"{wanted['Name']}/output/model.tar.gz")
        assert not task.is_done(task.read_record())  # type: ignore[arg-type]

    def test_retry_adopts_the_instance(self, aws: Any, config: Callable[..., Config]) -> None:
        wanted = config()
        wait = deferred(operator(wanted, deferrable=True).execute)
        assert wait.method_name == "execute_command"
        run(operator(wanted))
        assert (len(instances(aws, wanted)), len(commands(aws, wanted))) == (1, 1)

    def test_retry_adopts_the_running_command(
        self, aws: Any, config: Callable[..., Config], tmp_path: Path
    ) -> None:
        wanted, gate = config(), tmp_path / "gate"
        wanted["Commands"].insert(0, f"until [ -e {gate} ]; do sleep 0.1; done")
        assert until_command(wanted).method_name == "execute_complete"
        wait = deferred((retry := operator(wanted, deferrable=True)).execute)
        assert wait.method_name == "execute_complete"
        gate.touch()
        event = asyncio.run(wait.trigger.wait())
        assert retry.execute_complete(Context(), event)["status"] == "Completed"  # type: ignore[arg-type]
        assert (len(instances(aws, wanted)), len(commands(aws, wanted))) == (1, 1)
        assert is_gone(aws, wanted)

    def test_failed_script_fails_without_a_retry_and_with_its_reason(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        reason = "AlgorithmError: ValueError: There is no image., exit code: 1"
        good, wanted["Commands"] = wanted["Commands"], [leave(wanted["Name"], "Failed", reason), "exit 1"]
        with pytest.raises(AirflowFailException, match=f"{wanted['Name']} is Failed: {reason}"):
            run(operator(wanted))
        assert is_gone(aws, wanted)
        wanted["Commands"] = good
        assert run(operator(wanted))["status"] == "Completed"
        assert len(instances(aws, wanted)) == 2

    def test_commands_without_a_record_may_be_retried(self, aws: Any, config: Callable[..., Config]) -> None:
        wanted = config("echo 'no way to S3' >&2; exit 7")
        message = r"did not complete on i-\w+: its command is Failed. no way"
        with pytest.raises(AirflowException, match=message) as error:
            run(operator(wanted))
        assert not isinstance(error.value, AirflowFailException)
        assert is_gone(aws, wanted)

    def test_commands_that_exceed_their_limit_fail_without_a_retry(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config(FOREVER, timeout=1)
        with pytest.raises(AirflowFailException, match="has not ended within its limit of 1 seconds"):
            run(operator(wanted))
        assert is_gone(aws, wanted)

    def test_deadline_ends_the_wait_if_systems_manager_does_not(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        task, event = launched(wanted, command_id="command", deadline=0)
        with pytest.raises(AirflowFailException, match="has not ended within its limit of 600 seconds"):
            task.execute_complete(Context(), {**event, "status": "timeout"})  # type: ignore[arg-type]
        assert is_gone(aws, wanted)

    def test_instance_that_accepts_no_commands_is_terminated(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        del wanted["Instance"]["IamInstanceProfile"]
        task, event = launched(wanted, deadline=0)
        assert event["status"] == "timeout"
        with pytest.raises(
            AirflowException, match=r"accepted no commands .*has the instance profile"
        ) as error:
            task.execute_command(Context(), event)  # type: ignore[arg-type]
        assert not isinstance(error.value, AirflowFailException)
        assert is_gone(aws, wanted)

    def test_lost_instance_leads_to_a_retry_on_another_instance(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config(FOREVER)
        wait = until_command(wanted)
        lost = wait.trigger.instance_id
        aws.client("ec2").terminate_instances(InstanceIds=[lost])
        event = asyncio.run(wait.trigger.wait())
        task = operator(wanted)
        with pytest.raises(
            AirflowException, match=rf"{lost} is lost: (shutting-down|terminated) \("
        ) as error:
            task.execute_complete(Context(), event)  # type: ignore[arg-type]
        assert not isinstance(error.value, AirflowFailException)
        assert task.find() is None
        task.instance_id = task.launch()["InstanceId"]
        assert task.instance_id != lost
        task.terminate()

    def test_instance_that_the_old_try_terminates_late_is_replaced_in_the_same_try(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        old = deferred(operator(wanted, deferrable=True).execute)
        new = deferred((task := operator(wanted, deferrable=True)).execute)
        asyncio.run(old.trigger.on_kill())
        event = asyncio.run(new.trigger.wait())
        assert event["status"] == "lost"
        again = deferred(task.execute_command, event=event, **new.kwargs)
        assert again.trigger.instance_id != old.trigger.instance_id == new.trigger.instance_id
        assert again.kwargs == {"adopted": False}
        task.terminate()

    def test_killed_task_terminates_the_instance(self, aws: Any, config: Callable[..., Config]) -> None:
        wanted = config()
        operator(wanted).launch()
        operator(wanted).on_kill()
        assert is_gone(aws, wanted)

    def test_killed_deferred_task_terminates_the_instance(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        wait = deferred(operator(wanted, deferrable=True).execute)
        asyncio.run(wait.trigger.on_kill())
        assert is_gone(aws, wanted)

    def test_task_that_fails_early_terminates_the_instance(
        self, aws: Any, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = config()
        task = operator(wanted)
        monkeypatch.setattr(task, "find_command", lambda instance_id: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(task)
        assert is_gone(aws, wanted)

    @pytest.mark.parametrize(
        ("code", "is_final"),
        [
            pytest.param("InsufficientInstanceCapacity", False, id="no capacity"),
            pytest.param("SpotMaxPriceTooLow", False, id="no spare instance"),
            pytest.param("VcpuLimitExceeded", True, id="quota"),
            pytest.param("UnauthorizedOperation", True, id="not allowed"),
        ],
    )
    def test_launch_that_may_succeed_later_is_retried(
        self, aws: Any, config: Callable[..., Config], code: str, is_final: bool
    ) -> None:
        task = operator(config())

        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "RunInstances")

        task.hook.conn.run_instances = refuse
        with pytest.raises(AirflowException, match=rf"EC2 can't launch g4dn.xlarge: .*\({code}\)") as error:
            task.launch()
        assert isinstance(error.value, AirflowFailException) == is_final

    def test_lost_response_and_used_token_launch_no_second_instance(
        self, aws: Any, config: Callable[..., Config]
    ) -> None:
        wanted = config()
        task, ec2 = operator(wanted), aws.client("ec2")
        first = task.launch()["InstanceId"]
        assert task.launch()["InstanceId"] == first
        ec2.terminate_instances(InstanceIds=[first])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[first], WaiterConfig={"Delay": 1})
        ec2.delete_tags(Resources=[first], Tags=[{"Key": "Name"}])  # AWS no longer lists it
        assert task.launch()["InstanceId"] != first
        task.terminate()


def launched(config: Config, **kwargs: Any) -> tuple[EC2TrainingOperator, dict[str, Any]]:
    """Return a task with an instance, and the event of the trigger that waits for it."""
    task = operator(config)
    trigger = EC2CommandTrigger(
        instance_id=task.launch()["InstanceId"], poll_interval=0.1, **({"deadline": 0.0} | kwargs)
    )
    event = {
        "instance_id": trigger.instance_id,
        "command_id": trigger.command_id,
        "status": "timeout",
        "message": "x",
    }
    return task, event if trigger.command_id else asyncio.run(trigger.wait())


class Ec2:
    """EC2 that can't find some instances for a number of calls, and records the terminated ones."""

    def __init__(self, **unknown: int) -> None:
        self.unknown = unknown
        self.terminated: list[str] = []

    def terminate_instances(self, InstanceIds: list[str]) -> None:
        missing = [each for each in InstanceIds if self.unknown.get(each, 0) > 0]
        for each in missing:
            self.unknown[each] -= 1
        if missing:
            error = {"Code": "InvalidInstanceID.NotFound", "Message": f"{missing} do not exist"}
            raise ClientError({"Error": error}, "TerminateInstances")
        self.terminated += InstanceIds


def terminated(ec2: Ec2, monkeypatch: pytest.MonkeyPatch, *instance_ids: str) -> list[str]:
    """Return the instances that a training with these instances terminates."""
    task = operator({"Name": "birds"}, poll_interval=0)
    monkeypatch.setattr(type(task), "hook", SimpleNamespace(conn=ec2))
    monkeypatch.setattr(task, "_instances", lambda _: [{"InstanceId": each} for each in instance_ids[1:]])
    task.instance_id = instance_ids[0]
    task.terminate()
    return ec2.terminated


def test_termination_is_retried_only_for_a_new_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert terminated(Ec2(new=3), monkeypatch, "new", "other") == ["other", "new"]


def test_missing_instance_does_not_prevent_the_termination_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ec2_training, "NEW_INSTANCE_SECONDS", -1)
    assert terminated(Ec2(gone=99), monkeypatch, "gone", "other") == ["other"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "InvalidParameterValue",
            "Value (training) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        ),
        ("InvalidGroup.NotFound", "The security group 'sg-1' does not exist"),
    ],
)
def test_launch_is_retried_while_a_new_resource_propagates(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    task = operator(config(FOREVER))
    answers = [ClientError({"Error": {"Code": code, "Message": message}}, "RunInstances")] * 2
    run_instances = task.hook.conn.run_instances

    def refuse_twice(**request: Any) -> Any:
        if answers:
            raise answers.pop()
        return run_instances(**request)

    monkeypatch.setattr(task.hook.conn, "run_instances", refuse_twice)
    assert task.launch()["InstanceId"].startswith("i-")
    task.terminate()


def test_invalid_launch_is_not_retried() -> None:
    error = ClientError(
        {"Error": {"Code": "InvalidParameterValue", "Message": "Invalid value 'x' for InstanceType."}},
        "RunInstances",
    )
    assert not ec2_training.is_unknown_yet(error)


def test_unregistered_instance_has_no_command(aws: Any, config: Callable[..., Config]) -> None:
    task = operator(config(FOREVER))
    instance = task.launch()
    assert task.find_command(instance["InstanceId"]) is None
    task.terminate()
