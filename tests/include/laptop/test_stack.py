"""A complete stack: healthy, only on loopback, responding, and stopped without remaining processes."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import boto3
import psutil
import pytest

from include.laptop.airflow_api import AirflowApi, AirflowApiError
from include.laptop.stack import Stack, StackError
from include.laptop.stack_paths import REPOSITORY
from tests.free_ports import free_port


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("a stack"), free_port(), free_port())
    try:
        assert stack.up()
        yield stack
    finally:
        stack.down()
        assert stack.supervision.processes() == []


@pytest.mark.e2e
class TestStackThatIsUp:
    def test_every_component_is_healthy(self, stack: Stack) -> None:
        assert set(stack.health().values()) == {"healthy"}

    def test_processes_listen_only_on_loopback(self, stack: Stack) -> None:
        listening = set()
        for process in stack.supervision.processes():
            with suppress(psutil.NoSuchProcess):  # one that runs a task or parses a file ends soon
                listening |= {
                    connection.laddr.ip
                    for connection in process.net_connections("inet")
                    if connection.status == psutil.CONN_LISTEN
                }
        assert listening == {"127.0.0.1"}

    def test_every_process_under_supervisord_has_the_marker(self, stack: Stack) -> None:
        supervisord = psutil.Process(int(stack.supervision.pid_file.read_text()))
        children = set(supervisord.children(recursive=True))
        without_mark = children - set(stack.supervision.processes())
        assert not [child for child in without_mark if child.is_running()]

    def test_infrastructure_is_deployed(self, stack: Stack) -> None:
        cloudformation = boto3.client(
            "cloudformation",
            endpoint_url=stack.paths.aws_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        (deployed,) = cloudformation.describe_stacks(StackName="image-classifier")["Stacks"]
        assert deployed["StackStatus"] == "CREATE_COMPLETE"

    def test_second_start_finds_the_stack_regardless_of_its_ports(self, stack: Stack) -> None:
        again = Stack(stack.paths.state_dir, free_port(), free_port())
        assert not again.up()
        assert again.paths == stack.paths

    def test_unknown_dag_is_an_error_with_its_name(self, stack: Stack) -> None:
        with pytest.raises(AirflowApiError, match=r"404.*no_such_dag"):
            stack.api().trigger("no_such_dag", {})

    def test_wrong_password_is_rejected(self, stack: Stack) -> None:
        with pytest.raises(AirflowApiError, match="401"):
            AirflowApi(stack.paths.airflow_url, "admin", "wrong").import_errors()

    def test_no_dag_file_fails_to_import(self, stack: Stack) -> None:
        assert stack.api().import_errors() == {}


def test_used_port_is_an_error_with_the_variable_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"Port {port} .* AIRFLOW_PORT={port + 1000}"):
            Stack(tmp_path, airflow_port=port, aws_port=free_port()).up()


def test_failed_start_of_a_component_stops_the_stack_and_shows_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port(), free_port())
    stack.paths.make()
    (stack.paths.airflow_home / "airflow.db").touch()  # this test needs no real database
    (stack.paths.airflow_home / "migrated-to").write_text(version("apache-airflow-core"))
    stack.supervision.commands = {
        "api-server": ["sleep", "600"],
        "triggerer": ["sh", "-c", "echo no luck today; exit 3"],
    }
    with pytest.raises(
        StackError, match=r"(?s)triggerer exited during its start \(exit status 3\).*no luck today"
    ):
        stack.up()
    assert stack.supervision.processes() == []


def test_stopping_a_stack_that_is_not_running_succeeds(tmp_path: Path) -> None:
    down = subprocess.run(
        [sys.executable, "-m", "include.laptop", "down", "--state-dir", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (down.returncode, down.stdout) == (0, "Nothing was running\n")
