"""The whole stack, as `make up` starts it, on free ports with a folder of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from include.laptop.airflow_api import AirflowApi
from include.laptop.stack import Stack
from tests.e2e.after_failure import describe, end_runs

# The tests of this stack change no DAG file, so to parse all of them every 10 s would only take their time.
PARSED_ONCE = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600"}
# Airflow notices within seconds, not minutes, that a worker or a triggerer is dead, or that a timeout has passed.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a stack until the end of a block; options are those of Stack."""

    @contextmanager
    def running(**options: Any) -> Iterator[Stack]:
        airflow_port, aws_port = _free_ports(2)
        stack = Stack(tmp_path_factory.mktemp("stack"), airflow_port, aws_port, **options)
        try:
            stack.up()
            yield stack
        finally:
            stack.down()

    return running


@pytest.fixture(scope="session")
def client_of() -> Callable[[Stack, str], Any]:
    """Makes boto3 clients of a stack's local AWS."""

    def client(stack: Stack, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=stack.places.aws_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    return client


@pytest.fixture(scope="session")
def whole_stack(running_stack: Callable[..., Any]) -> Iterator[Stack]:
    """A stack as a user has it, but for how often DAG files are parsed."""
    with running_stack(extra_environment=PARSED_ONCE) as stack:
        yield stack


@pytest.fixture(scope="session")
def impatient_stack(running_stack: Callable[..., Any]) -> Iterator[Stack]:
    """A stack with the DAGs of tests/e2e/dags, whose processes may be killed."""
    dags_folder = Path(__file__).parent / "dags"
    with running_stack(dags_folder=dags_folder, extra_environment=IMPATIENT) as stack:
        yield stack


@pytest.fixture(scope="session")
def airflow(whole_stack: Stack) -> AirflowApi:
    return whole_stack.api()


@pytest.fixture(scope="session")
def aws(whole_stack: Stack, client_of: Callable[[Stack, str], Any]) -> Callable[[str], Any]:
    """Makes boto3 clients of the stack's local AWS."""
    return lambda service: client_of(whole_stack, service)


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what the runs of its stack were doing."""
    report = yield
    if report.failed and report.when != "teardown":
        item.stash[_FAILED] = True
        for stack in _stacks_of(item):
            report.sections.append((f"Runs of the stack in {stack.places.state_dir}", describe(stack)))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the runs that a failed test leaves, so that they do not delay or fail the next test."""
    if item.stash.get(_FAILED, False):
        for stack in _stacks_of(item):
            try:
                end_runs(stack)
            except Exception as error:  # the stack may be down
                item.warn(
                    pytest.PytestWarning(
                        f"The runs of the stack in {stack.places.state_dir} were not ended: {error}"
                    )
                )


def _stacks_of(item: pytest.Item) -> list[Stack]:
    return [value for value in item.funcargs.values() if isinstance(value, Stack)]  # type: ignore[attr-defined]
