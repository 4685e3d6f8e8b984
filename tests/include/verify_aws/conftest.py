"""``make verify-aws`` against a local AWS in the role of an account."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from include.laptop.stack_paths import REPOSITORY
from tests.conftest import LocalAws
from tests.free_ports import free_port

ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def account(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    """A separate server, since these tests examine all its resources."""
    folder = tmp_path_factory.mktemp("account")
    with running_local_aws(folder, LOCAL_AWS_CALLS=str(folder / "calls.jsonl")) as server:
        yield server


@pytest.fixture(scope="module")
def slow_account(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    """A server whose functions never become active, so that tests of functions wait until they are ended."""
    with running_local_aws(tmp_path_factory.mktemp("slow"), LOCAL_AWS_FUNCTION_UPDATE="3600") as server:
        yield server


@pytest.fixture
def plain_moto(eventually: Callable[..., Any]) -> Iterator[str]:
    """The URL of a plain moto server."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL
    )

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    eventually(listens)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The path of the page."""
    return tmp_path / "page.md"


@pytest.fixture(scope="module")
def begin(account: LocalAws) -> Callable[..., subprocess.Popen[str]]:
    """Start the command in a separate process group; ``without`` lists variables that are not set."""

    def start(
        *arguments: str, page: Path, without: tuple[str, ...] = (), url: str = ""
    ) -> subprocess.Popen[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": url or account.url,
            "AWS_CONFIG_FILE": str(REPOSITORY / "include" / "laptop" / "path_style.ini"),
            "AWS_SHARED_CREDENTIALS_FILE": "/none",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "verifier",
            "AWS_SECRET_ACCESS_KEY": "verifier",
        }
        for name in without:
            del environment[name]
        return subprocess.Popen(
            [sys.executable, "-m", "include.verify_aws", "--page", str(page), *arguments],
            cwd=REPOSITORY,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return start


@pytest.fixture
def verify(begin: Callable[..., subprocess.Popen[str]], page: Path) -> Callable[..., tuple[int, str]]:
    """Run the command; return its exit status and its output."""

    def run(*arguments: str, **options: Any) -> tuple[int, str]:
        process = begin(*arguments, page=page, **options)
        said, _ = process.communicate(timeout=900)
        return process.returncode, said

    return run
