"""The whole stack, as `make up` starts it, on free ports with a folder of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config

from include.laptop.airflow_api import AirflowApi
from include.laptop.stack import Stack


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
def stack(running_stack: Callable[..., Any]) -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def airflow(stack: Stack) -> AirflowApi:
    return stack.api()


@pytest.fixture(scope="session")
def aws(stack: Stack, client_of: Callable[[Stack, str], Any]) -> Callable[[str], Any]:
    """Makes boto3 clients of the stack's local AWS."""
    return lambda service: client_of(stack, service)
