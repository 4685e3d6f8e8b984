"""Commands on instances: what they do, print, and how they end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

DOCUMENT = "AWS-RunShellScript"
OPEN = ("Pending", "InProgress", "Delayed", "Cancelling")


@pytest.fixture(scope="module")
def shared(
    local_aws: Any, ec2: Any, ssm: Any, profile: str, instance_request: Any, eventually: Callable[..., Any]
) -> Any:
    """The id of an instance that takes commands, for all tests that leave it alive."""
    instance_id = ec2.run_instances(**instance_request(local_aws, profile))["Instances"][0]["InstanceId"]
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
    eventually(lambda: ssm.describe_instance_information(Filters=filters)["InstanceInformationList"])
    yield instance_id
    ec2.terminate_instances(InstanceIds=[instance_id])


@pytest.fixture
def send(ssm: Any) -> Callable[..., str]:
    """Send lines of a script to an instance and return the command's id."""

    def run(
        instance_id: str, *lines: str, parameters: dict[str, list[str]] | None = None, **members: Any
    ) -> str:
        return ssm.send_command(
            InstanceIds=[instance_id],
            DocumentName=DOCUMENT,
            Parameters={"commands": list(lines), **(parameters or {})},
            **members,
        )["Command"]["CommandId"]

    return run


@pytest.fixture
def invocation(ssm: Any) -> Callable[[str, str], dict[str, Any]]:
    return lambda command_id, instance_id: ssm.get_command_invocation(
        CommandId=command_id, InstanceId=instance_id
    )


@pytest.fixture
def ended(invocation: Any, eventually: Callable[..., Any]) -> Callable[[str, str], dict[str, Any]]:
    """Wait until a command has ended and return its invocation."""

    def wait(command_id: str, instance_id: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            answer = invocation(command_id, instance_id)
            return answer if answer["Status"] not in OPEN else None

        return eventually(found)

    return wait


@pytest.fixture
def run(send: Any, ended: Any, shared: str) -> Callable[..., dict[str, Any]]:
    """Run lines of a script on the shared instance and return the invocation when it has ended."""
    return lambda *lines, **members: ended(send(shared, *lines, **members), shared)


def test_another_region_knows_neither_the_instance_nor_its_commands(
    local_aws: Any, send: Any, ended: Any, shared: str
) -> None:
    command = send(shared, "true")
    ended(command, shared)
    elsewhere = boto3.client(
        "ssm",
        endpoint_url=local_aws.url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    assert elsewhere.describe_instance_information()["InstanceInformationList"] == []
    for call in (
        lambda: elsewhere.list_commands(CommandId=command),
        lambda: elsewhere.send_command(
            InstanceIds=[shared], DocumentName=DOCUMENT, Parameters={"commands": ["true"]}
        ),
    ):
        with pytest.raises(ClientError, match=r"InvalidCommandId|InvalidInstanceId"):
            call()


class TestOutcome:
    def test_a_script_that_succeeds(self, run: Any) -> None:
        answer = run("echo one", "printf two", "echo 'to you' >&2")
        assert (answer["Status"], answer["StatusDetails"], answer["ResponseCode"]) == (
            "Success",
            "Success",
            0,
        )
        assert answer["StandardOutputContent"] == "one\ntwo\n"
        assert answer["StandardErrorContent"] == "to you\n"
        assert answer["ExecutionStartDateTime"] <= answer["ExecutionEndDateTime"]
        assert answer["ExecutionEndDateTime"].endswith("Z")

    def test_a_script_that_fails(self, run: Any) -> None:
        answer = run("echo no >&2", "exit 3")
        assert (answer["Status"], answer["StatusDetails"], answer["ResponseCode"]) == ("Failed", "Failed", 3)
        assert answer["StandardErrorContent"] == "no\nfailed to run commands: exit status 3\n"

    def test_output_is_limited(self, run: Any) -> None:
        answer = run("yes | head -c 30000", "yes | head -c 30000 >&2")
        assert (len(answer["StandardOutputContent"]), len(answer["StandardErrorContent"])) == (24_000, 8_000)

    def test_a_script_may_name_its_interpreter(self, run: Any) -> None:
        assert run("#!/usr/bin/env python3", "print(6 * 7)")["StandardOutputContent"] == "42\n"

    def test_it_runs_on_the_instance(
        self, run: Any, shared: str, instance_folder: Any, tmp_path: Any
    ) -> None:
        answer = run(
            "pwd -P", 'echo "$AWS_SSM_INSTANCE_ID"', "command -v shutdown >/dev/null && echo shutdown"
        )
        folder = str((instance_folder(shared) / "home").resolve())
        assert answer["StandardOutputContent"].splitlines() == [folder, shared, "shutdown"]

    def test_it_may_start_in_another_folder(self, run: Any, tmp_path: Any) -> None:
        answer = run("pwd -P", parameters={"workingDirectory": [str(tmp_path)]})
        assert answer["StandardOutputContent"] == f"{tmp_path.resolve()}\n"

    def test_a_folder_that_is_missing_fails_it(self, run: Any) -> None:
        answer = run("true", parameters={"workingDirectory": ["/no/such/folder"]})
        assert (answer["Status"], answer["ResponseCode"]) == ("Failed", 1)
        assert "No such file or directory" in answer["StandardErrorContent"]

    def test_a_timeout_ends_it(self, run: Any) -> None:
        answer = run("echo begun", "sleep 60", parameters={"executionTimeout": ["1"]})
        assert (answer["Status"], answer["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
        assert (answer["ResponseCode"], answer["StandardOutputContent"]) == (137, "begun\n")

    def test_what_it_leaves_behind_goes_on(self, run: Any, eventually: Any, tmp_path: Path) -> None:
        wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
        run(f"({wait}; touch {tmp_path}/made) >/dev/null 2>&1 &")
        (tmp_path / "go").touch()
        eventually((tmp_path / "made").exists)


class TestCancellation:
    def test_it_ends_all_processes_at_once(
        self, ssm: Any, send: Any, ended: Any, shared: str, tmp_path: Any, eventually: Any
    ) -> None:
        tell = f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid"
        command_id = send(shared, "trap '' TERM", f"setsid sh -c '{tell}; exec sleep 600' &", "wait")
        eventually((tmp_path / "pid").exists)
        process = psutil.Process(int((tmp_path / "pid").read_text()))
        ssm.cancel_command(CommandId=command_id)
        answer = ended(command_id, shared)
        assert (answer["Status"], answer["StatusDetails"], answer["ResponseCode"]) == (
            "Cancelled",
            "Cancelled",
            137,
        )
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    def test_an_ended_command_stays_as_it_is(self, ssm: Any, send: Any, ended: Any, shared: str) -> None:
        command_id = send(shared, "true")
        ended(command_id, shared)
        ssm.cancel_command(CommandId=command_id)
        assert ended(command_id, shared)["Status"] == "Success"


class TestLogs:
    @pytest.fixture
    def events(self, local_aws: Any) -> Callable[[str, str], list[str]]:
        logs = local_aws.client("logs")

        def read(group: str, stream: str) -> list[str]:
            try:
                answer = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
            except logs.exceptions.ResourceNotFoundException:
                return []
            return [event["message"] for event in answer["events"]]

        return read

    def test_output_is_streamed_while_it_runs(
        self,
        ssm: Any,
        send: Any,
        ended: Any,
        invocation: Any,
        events: Any,
        shared: str,
        eventually: Any,
        tmp_path: Any,
    ) -> None:
        command_id = send(
            shared,
            "echo one",
            f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done",
            "echo three; echo four >&2",
            CloudWatchOutputConfig={"CloudWatchOutputEnabled": True, "CloudWatchLogGroupName": "/training"},
        )
        stream = f"{command_id}/{shared}/aws-runShellScript"
        assert eventually(lambda: events("/training", f"{stream}/stdout")) == ["one"]
        assert events("/training", f"{stream}/stderr") == []
        running = invocation(command_id, shared)
        assert (running["Status"], running["ResponseCode"], running["StandardOutputContent"]) == (
            "InProgress",
            -1,
            "",
        )
        (tmp_path / "go").touch()
        assert ended(command_id, shared)["CloudWatchOutputConfig"]["CloudWatchLogGroupName"] == "/training"
        assert events("/training", f"{stream}/stdout") == ["one", "three"]
        assert events("/training", f"{stream}/stderr") == ["four"]

    def test_there_is_a_group_by_default(self, run: Any, events: Any, shared: str) -> None:
        answer = run("echo hello", CloudWatchOutputConfig={"CloudWatchOutputEnabled": True})
        stream = f"{answer['CommandId']}/{shared}/aws-runShellScript/stdout"
        assert events("/aws/ssm/AWS-RunShellScript", stream) == ["hello"]


class TestListing:
    def test_commands_are_found_by_instance_id_and_filters(self, ssm: Any, run: Any, shared: str) -> None:
        ids = [run("true", Comment=comment)["CommandId"] for comment in ("first", "second")]
        listed = ssm.list_commands(InstanceId=shared, Filters=[{"key": "Status", "value": "Success"}])[
            "Commands"
        ]
        assert [each["Comment"] for each in listed if each["CommandId"] in ids] == ["second", "first"]
        (one,) = ssm.list_commands(CommandId=ids[0])["Commands"]
        assert (one["InstanceIds"], one["CompletedCount"], one["ErrorCount"]) == ([shared], 1, 0)
        assert one["Parameters"] == {"commands": ["true"]}
        after = [{"key": "InvokedAfter", "value": "2099-01-01T00:00:00Z"}]
        assert ssm.list_commands(Filters=after)["Commands"] == []

    def test_pages_hold_all(self, ssm: Any, run: Any) -> None:
        ids = {run("true")["CommandId"] for _ in range(3)}
        pages = ssm.get_paginator("list_commands").paginate(PaginationConfig={"PageSize": 2})
        assert ids <= {each["CommandId"] for page in pages for each in page["Commands"]}

    def test_an_invocation_s_details_hold_its_output(self, ssm: Any, run: Any, shared: str) -> None:
        command_id = run("echo out", "echo err >&2; exit 2")["CommandId"]
        (found,) = ssm.list_command_invocations(CommandId=command_id, InstanceId=shared, Details=True)[
            "CommandInvocations"
        ]
        (plugin,) = found["CommandPlugins"]
        assert (found["Status"], plugin["Name"], plugin["ResponseCode"]) == (
            "Failed",
            "aws:runShellScript",
            2,
        )
        assert plugin["Output"].startswith("out\n\n----------ERROR-------\nerr\n")

    def test_a_command_on_another_instance_does_not_exist(self, ssm: Any, run: Any, shared: str) -> None:
        command_id = run("true")["CommandId"]
        for members in (
            {"CommandId": command_id, "InstanceId": "i-0123456789abcdef0"},
            {"CommandId": "0" * 36, "InstanceId": shared},
        ):
            with pytest.raises(ssm.exceptions.InvocationDoesNotExist):
                ssm.get_command_invocation(**members)
        with pytest.raises(ssm.exceptions.InvalidCommandId):
            ssm.list_commands(CommandId="0" * 36)


class TestManagedNodes:
    def test_an_instance_without_a_profile_is_never_one(
        self, ssm: Any, shared: str, launch: Any, console: Any
    ) -> None:
        other = launch(UserData="#!/bin/sh\nsleep 1; echo over\n")
        console(other, "over")
        listed = ssm.describe_instance_information()["InstanceInformationList"]
        assert shared in [node["InstanceId"] for node in listed]
        assert other not in [node["InstanceId"] for node in listed]
        with pytest.raises(
            ssm.exceptions.InvalidInstanceId, match=rf"Instances \[\[{other}\]\] not in a valid state"
        ):
            ssm.send_command(InstanceIds=[other], DocumentName=DOCUMENT, Parameters={"commands": ["true"]})

    def test_a_stopped_instance_has_lost_its_connection(
        self, ec2: Any, ssm: Any, node: str, in_state: Any
    ) -> None:
        ec2.stop_instances(InstanceIds=[node])
        in_state(node, "stopped")
        filters = [
            {"Key": "InstanceIds", "Values": [node]},
            {"Key": "PingStatus", "Values": ["ConnectionLost"]},
        ]
        assert len(ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]) == 1
        with pytest.raises(ssm.exceptions.InvalidInstanceId):
            ssm.send_command(InstanceIds=[node], DocumentName=DOCUMENT, Parameters={"commands": ["true"]})

    def test_of_a_terminated_one_nothing_more_is_heard(
        self,
        ec2: Any,
        ssm: Any,
        node: str,
        send: Any,
        invocation: Any,
        in_state: Any,
        eventually: Any,
        tmp_path: Any,
    ) -> None:
        command_id = send(node, f"touch {tmp_path}/begun", "sleep 60")
        eventually((tmp_path / "begun").exists)
        ec2.terminate_instances(InstanceIds=[node])
        in_state(node, "terminated")
        assert invocation(command_id, node)["Status"] == "InProgress"
        filters = [{"Key": "InstanceIds", "Values": [node]}]
        assert ssm.describe_instance_information(Filters=filters)["InstanceInformationList"] == []
        ssm.cancel_command(CommandId=command_id)
        assert invocation(command_id, node)["Status"] == "Cancelled"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param({"DocumentName": "AWS-RunPatchBaseline"}, "InvalidDocument", id="document"),
        pytest.param({"Parameters": {}}, "InvalidParameters.*commands is required", id="no commands"),
        pytest.param(
            {"Parameters": {"commands": ["true"], "color": ["red"]}}, "InvalidParameters.*color", id="name"
        ),
        pytest.param(
            {"Parameters": {"commands": ["true"], "executionTimeout": ["172801"]}},
            "InvalidParameters",
            id="timeout",
        ),
        pytest.param({"OutputS3BucketName": "bucket"}, "OutputS3BucketName is not supported", id="bucket"),
        pytest.param({"Comment": "c" * 101}, "ValidationException.*Comment.*100", id="comment"),
    ],
)
def test_what_is_not_supported_is_refused(
    ssm: Any, shared: str, members: dict[str, Any], message: str
) -> None:
    request = {"InstanceIds": [shared], "DocumentName": DOCUMENT, "Parameters": {"commands": ["true"]}}
    with pytest.raises(ClientError, match=message):
        ssm.send_command(**(request | members))
