"""Instances that run: from their first boot to the end of all their processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

Launch = Callable[..., str]

FROM_WITHIN = "Client.InstanceInitiatedShutdown"


def script(*lines: str) -> str:
    """User data: lines of a shell script, and one that says that they are over."""
    return "\n".join(["#!/bin/sh", *lines, "echo over", ""])


def sleeping(server: Any, seconds: str) -> list[psutil.Process]:
    """The sleep commands of a server's instances, whoever their parent is by now."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == ["sleep", seconds] and server.url in _environment(process).values()
    ]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


class TestBoot:
    def test_an_instance_is_running_soon(self, launch: Launch, in_state: Any) -> None:
        assert in_state(launch(), "running")["State"]["Code"] == 16

    def test_user_data_runs_in_a_folder_of_the_instance_s_own(
        self, launch: Launch, console: Any, instance_folder: Callable[[str], Path]
    ) -> None:
        instance_id = launch(UserData=script('echo "$HOME"', 'echo "$TMPDIR"', "pwd -P"))
        home, temporary, current = (Path(line).resolve() for line in console(instance_id, "over")[:3])
        folder = instance_folder(instance_id).resolve()
        assert (home, temporary, current) == (folder / "home", folder / "tmp", folder / "home")

    def test_it_speaks_to_this_server_in_the_server_s_python_and_knows_nothing_of_the_user(
        self, launch: Launch, console: Any, profile: str
    ) -> None:
        code = "import boto3, os; print(boto3.client('sts').get_caller_identity()['Account']); print(*os.environ)"
        instance_id = launch(profile, UserData=script(f'python3 -c "{code}"'))
        account, names, *_ = console(instance_id, "over")
        assert account == "123456789012"
        assert not {"USER", "VIRTUAL_ENV", "AIRFLOW_HOME", "AWS_PROFILE", "PYTHONPATH"} & set(names.split())

    def test_without_a_profile_it_has_no_credentials(self, launch: Launch, console: Any) -> None:
        instance_id = launch(UserData=script("env"))
        variables = "\n".join(console(instance_id, "over"))
        assert "AWS_ENDPOINT_URL=" in variables
        assert "AWS_SECRET_ACCESS_KEY" not in variables

    def test_the_end_of_user_data_is_on_the_console(self, launch: Launch, console: Any) -> None:
        lines = console(launch(UserData="#!/bin/sh\necho oops >&2\nexit 3\n"), "ended")
        assert lines == ["oops", "The user data ended with status 3."]

    def test_user_data_that_is_no_script_is_not_run(self, launch: Launch, console: Any) -> None:
        assert "script, beginning with #!" in console(launch(UserData="#cloud-config\n"), "user data")[0]


class TestTermination:
    def test_it_ends_all_processes_and_removes_the_folder(
        self,
        local_aws: Any,
        ec2: Any,
        launch: Launch,
        console: Any,
        in_state: Any,
        instance_folder: Callable[[str], Path],
        eventually: Callable[..., Any],
    ) -> None:
        started = script("sleep 311 >/dev/null 2>&1 &", "setsid sleep 311 >/dev/null 2>&1 &")
        instance_id = launch(UserData=started)
        console(instance_id, "ended with status 0")
        eventually(lambda: len(sleeping(local_aws, "311")) == 2)  # what the script left goes on running
        (answer,) = ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
        assert answer["PreviousState"]["Name"] == "running"
        ended = in_state(instance_id, "terminated")
        assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
        assert sleeping(local_aws, "311") == []
        assert not instance_folder(instance_id).exists()

    def test_processes_may_end_in_order(self, ec2: Any, launch: Launch, console: Any, in_state: Any) -> None:
        waiting = script("trap 'echo saved; exit' TERM", "echo ready", "while :; do sleep 0.1; done")
        instance_id = launch(UserData=waiting)
        console(instance_id, "ready")
        ec2.terminate_instances(InstanceIds=[instance_id])
        in_state(instance_id, "terminated")
        assert console(instance_id, "saved")[-1] == "saved"

    def test_one_that_is_still_pending_never_boots(
        self, ec2: Any, launch: Launch, in_state: Any, instance_folder: Callable[[str], Path]
    ) -> None:
        instance_id = launch(UserData=script("touch booted"))
        ec2.terminate_instances(InstanceIds=[instance_id])
        in_state(instance_id, "terminated")
        assert not instance_folder(instance_id).exists()

    def test_it_can_be_repeated(self, ec2: Any, launch: Launch, in_state: Any) -> None:
        instance_id = launch()
        for _ in range(2):
            ec2.terminate_instances(InstanceIds=[instance_id])
            in_state(instance_id, "terminated")
        (answer,) = ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
        assert answer["PreviousState"]["Name"] == "terminated"

    def test_it_frees_the_security_group_and_the_volume(
        self, ec2: Any, launch: Launch, in_state: Any, eventually: Callable[..., Any]
    ) -> None:
        group = ec2.create_security_group(GroupName="freed", Description="freed")["GroupId"]
        instance_id = launch(SecurityGroupIds=[group])
        volume = in_state(instance_id, "running")["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        ec2.terminate_instances(InstanceIds=[instance_id])
        in_state(instance_id, "terminated")

        def is_deleted() -> bool:
            try:
                ec2.delete_security_group(GroupId=group)
            except ClientError as error:  # its network interface lingers
                assert error.response["Error"]["Code"] == "DependencyViolation"  # noqa: PT017
                return False
            return True

        eventually(is_deleted)
        with pytest.raises(ClientError, match=r"InvalidVolume\.NotFound"):
            ec2.describe_volumes(VolumeIds=[volume])


class TestShutdownFromWithin:
    @pytest.mark.parametrize("command", ["shutdown -h now", "sudo shutdown now", "poweroff", "halt"])
    def test_it_terminates_where_that_is_the_behavior(
        self, launch: Launch, in_state: Any, command: str
    ) -> None:
        instance_id = launch(
            UserData=script(command, "sleep 300"), InstanceInitiatedShutdownBehavior="terminate"
        )
        assert in_state(instance_id, "terminated")["StateReason"]["Code"] == FROM_WITHIN

    def test_it_terminates_a_spot_instance(self, launch: Launch, in_state: Any) -> None:
        instance_id = launch(UserData=script("poweroff"), InstanceMarketOptions={"MarketType": "spot"})
        assert in_state(instance_id, "terminated")["StateReason"]["Code"] == FROM_WITHIN

    def test_it_stops_by_default_and_user_data_runs_on_the_first_boot_only(
        self, ec2: Any, launch: Launch, in_state: Any, console: Any, instance_folder: Callable[[str], Path]
    ) -> None:
        instance_id = launch(UserData=script("echo booted", "echo kept > file", "poweroff"))
        assert in_state(instance_id, "stopped")["StateReason"]["Code"] == FROM_WITHIN
        ec2.start_instances(InstanceIds=[instance_id])
        in_state(instance_id, "running")
        assert (instance_folder(instance_id) / "home" / "file").read_text() == "kept\n"
        ec2.stop_instances(InstanceIds=[instance_id])
        in_state(instance_id, "stopped")
        assert console(instance_id, "booted").count("booted") == 1

    def test_a_restart_is_refused(self, launch: Launch, console: Any) -> None:
        lines = console(launch(UserData=script("reboot", "shutdown -r now", "shutdown 25:00")), "over")
        assert [line.partition(":")[0] for line in lines[:3]] == ["reboot", "shutdown", "shutdown"]


class TestStates:
    def test_a_terminated_instance_cannot_be_started_or_stopped(
        self, ec2: Any, launch: Launch, in_state: Any
    ) -> None:
        instance_id = launch()
        ec2.terminate_instances(InstanceIds=[instance_id])
        in_state(instance_id, "terminated")
        for operation in (ec2.start_instances, ec2.stop_instances):
            with pytest.raises(ClientError, match="IncorrectInstanceState"):
                operation(InstanceIds=[instance_id])

    def test_a_spot_instance_cannot_be_stopped_and_none_is_rebooted(
        self, ec2: Any, launch: Launch, in_state: Any
    ) -> None:
        instance_id = launch(InstanceMarketOptions={"MarketType": "spot"})
        assert in_state(instance_id, "running")["InstanceLifecycle"] == "spot"
        for operation in (ec2.stop_instances, ec2.reboot_instances):
            with pytest.raises(ClientError, match="UnsupportedOperation"):
                operation(InstanceIds=[instance_id])

    def test_the_status_of_a_running_instance_is_ok(self, ec2: Any, launch: Launch, in_state: Any) -> None:
        instance_id = launch()
        in_state(instance_id, "running")
        (status,) = ec2.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
        assert (status["InstanceStatus"]["Status"], status["SystemStatus"]["Status"]) == ("ok", "ok")


def test_a_timer_ends_an_instance_and_nothing_outlives_a_killed_server(
    start_local_aws: Callable[..., Any],
    instance_request: Any,
    eventually: Callable[..., Any],
    survivors: Callable[[list[psutil.Process]], list[psutil.Process]],
    tmp_path: Path,
) -> None:
    settings = {"LOCAL_AWS_SHUTDOWN_MINUTE": "0.5", "LOCAL_AWS_STOP_GRACE": "2", "TMPDIR": str(tmp_path)}
    with start_local_aws(**settings) as server:
        ec2 = server.client("ec2")

        def states() -> dict[str, str]:
            reservations = ec2.describe_instances()["Reservations"]
            return {
                each["Instances"][0]["ClientToken"]: each["Instances"][0]["State"]["Name"]
                for each in reservations
            }

        def launch(token: str, *lines: str) -> None:
            data = script(*lines, "setsid sleep 312 >/dev/null 2>&1 &")
            request = instance_request(server, UserData=data, InstanceInitiatedShutdownBehavior="terminate")
            ec2.run_instances(**request, ClientToken=token)

        launch("canceled", "shutdown -h +600", "shutdown -c")
        launch("later", "shutdown -h +600")
        eventually(lambda: len(sleeping(server, "312")) == 2)
        assert states() == {"canceled": "running", "later": "running"}
        launch("ends", "shutdown -h +3")
        eventually(lambda: states()["ends"] == "terminated")
        assert states() == {"ends": "terminated", "canceled": "running", "later": "running"}
        processes = sleeping(server, "312")
        assert len(processes) == 2
        server.process.kill()
        server.process.wait()
        assert not survivors(processes)
