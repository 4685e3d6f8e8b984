"""A complete stack: healthy, only on loopback, and responding; its fixture sees that it stops without a trace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest

from include.laptop.airflow_api import AirflowApi, AirflowApiError
from include.laptop.stack import Stack
from tests.conftest import is_zombie
from tests.free_ports import free_port

pytestmark = pytest.mark.e2e


def test_every_component_is_healthy(whole_stack: Stack, eventually: Callable[..., Any]) -> None:
    eventually(lambda: set(whole_stack.health().values()) == {"healthy"})


def test_processes_listen_only_on_loopback(whole_stack: Stack) -> None:
    listening = set()
    for process in whole_stack.supervision.processes():
        with suppress(psutil.NoSuchProcess):  # one that runs a task or parses a file ends soon
            listening |= {
                connection.laddr.ip
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    assert listening == {"127.0.0.1"}


def test_every_process_under_supervisord_has_the_marker(whole_stack: Stack) -> None:
    supervisord = psutil.Process(int(whole_stack.supervision.pid_file.read_text()))
    children = set(supervisord.children(recursive=True))
    without_mark = children - set(whole_stack.supervision.processes())
    assert not [child for child in without_mark if child.is_running() and not is_zombie(child)]


def test_infrastructure_is_deployed(aws: Callable[[str], Any]) -> None:
    (deployed,) = aws("cloudformation").describe_stacks(StackName="image-classifier")["Stacks"]
    assert deployed["StackStatus"] == "CREATE_COMPLETE"


def test_second_start_finds_the_stack_regardless_of_its_ports(whole_stack: Stack) -> None:
    again = Stack(whole_stack.paths.state_dir, free_port(), free_port())
    assert not again.up()
    assert again.paths == whole_stack.paths


def test_unknown_dag_is_an_error_with_its_name(airflow: AirflowApi) -> None:
    with pytest.raises(AirflowApiError, match=r"404.*no_such_dag"):
        airflow.trigger("no_such_dag", {})


def test_wrong_password_is_rejected(whole_stack: Stack) -> None:
    with pytest.raises(AirflowApiError, match="401"):
        AirflowApi(whole_stack.paths.airflow_url, "admin", "wrong").import_errors()


def test_no_dag_file_fails_to_import(airflow: AirflowApi) -> None:
    assert airflow.import_errors() == {}
