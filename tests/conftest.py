"""What many tests share: an Airflow home of the tests' own, and a running local AWS."""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.session
import psutil
import pytest

from tests.e2e.service_files import parse_once
from tests.free_ports import free_port

REPOSITORY = Path(__file__).parents[1]

pytest_plugins = ["tests.run_times"]
parse_once()
# All sessions of a process read the API models once: moto's mocks and Airflow's hooks create new sessions, and reading
# takes longer than anything else about a new client.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# What a shell starts in the background ignores Ctrl-C, and so would all programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Airflow reads its configuration when it is first imported, so this is set before any test module is.
_home = tempfile.mkdtemp(prefix="airflow-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=_home,
    AIRFLOW__CORE__DAGS_FOLDER=str(REPOSITORY / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(REPOSITORY / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
)

START_SECONDS = 240.0
STACKS = ("whole_stack", "impatient_stack")
# Tests that start processes: those of these folders and files, and those that use one of these fixtures.
PROCESSES = (
    "contract/",
    "e2e/",
    "include/classifier/test_distributed.py",
    "include/classifier/test_instance_training.py",
    "include/laptop/",
    "include/local_aws/",
    "include/serving/",
    "include/verify_aws/",
)
SERVERS = {"local_aws", "start_local_aws", "running_local_aws"}
# Folders and files whose tests take long, the longest first. `make test` prints the times.
SLOW = (
    "e2e/test_releases.py",
    "e2e/test_stopped_runs.py",
    "e2e/test_killed_runs.py",
    "e2e/",
    "include/classifier/test_serve_app.py",
    "include/verify_aws/",
    "benchmarks/",
    "include/pipeline/pages/test_browser.py",
    "include/classifier/test_distributed.py",
    "include/local_aws/sagemaker/",
    "include/local_aws/ec2/",
    "plugins/amazon_ml/operators/",
    "clients/",
    "include/local_aws/test_awslambda.py",
    "include/local_aws/test_main.py",
    "include/classifier/test_evaluate.py",
    "include/classifier/test_export.py",
    "include/classifier/test_instance_training.py",
    "include/classifier/test_train.py",
    "include/local_aws/weather/test_service.py",
    "include/laptop/test_airflow_lock.py",
    "include/laptop/test_lock.py",
    "include/laptop/test_bootstrap.py",
    "include/laptop/test_supervision.py",
    "include/pipeline/test_function_alias.py",
    "include/pipeline/test_known_good.py",
    "include/pipeline/test_release.py",
    "include/pipeline/test_scaling.py",
    "include/pipeline/test_teardown.py",
    "include/pipeline/data/test_staging.py",
    "dags/test_teardown.py",
)
LONGEST_VALUE_IN_ID = 100
# Folders whose files one worker runs, since they share what takes seconds to make.
TOGETHER = ("plugins/upstream_guards/",)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import and collect without garbage collection, and exclude all that from later collections.

    There are millions of objects, which would be traversed again and again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End without a last garbage collection."""
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their length: each worker of pytest-xdist sends the ids of all tests, and one had 27 MB."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_VALUE_IN_ID:
        return f"{argname} of {len(val)}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by their path, and arrange them in groups for pytest-xdist.

    A file's tests share models, servers and stacks, so one worker runs a file. One worker also runs all files that
    use the same stack of tests/e2e, and all files of a folder of :data:`TOGETHER`. The groups that take longest come
    first, so that the workers end together.
    """
    for item in items:
        path = _path(item)
        together = next((folder for folder in TOGETHER if path.startswith(folder)), path)
        item.add_marker(pytest.mark.xdist_group(_stack_of(item) or together))
        if path.startswith(PROCESSES) or not SERVERS.isdisjoint(item.fixturenames):  # type: ignore[attr-defined]
            item.add_marker("processes")
        if path.startswith(SLOW):
            item.add_marker("slow")
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    stack, path = _stack_of(item), _path(item)
    if stack:
        return STACKS.index(stack)
    slow = (number for number, start in enumerate(SLOW) if path.startswith(start))
    quick = len(SLOW) + (item.get_closest_marker("processes") is None)
    return len(STACKS) + next(slow, quick)


def _path(item: pytest.Item) -> str:
    return os.path.relpath(item.path, Path(__file__).parent)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End a stack after the last of its tests: one that does nothing still takes a third of a core."""
    stack = _stack_of(item)
    if stack in item.funcargs and (nextitem is None or _stack_of(nextitem) != stack):
        item.funcargs[stack].down()  # type: ignore[attr-defined]


def _stack_of(item: pytest.Item) -> str | None:
    return next((name for name in STACKS if name in item.fixturenames), None)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class LocalAws:
    """A running server."""

    url: str
    state_dir: Path
    process: subprocess.Popen[bytes]

    def client(self, service: str) -> Any:
        """Return a boto3 client with dummy credentials that tries each call once."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}
            ),
        )

    def children(self, word: str = "") -> list[psutil.Process]:
        """Return the processes that the server started, directly or not, with a word in their command."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may end at any moment
                if word in " ".join(child.cmdline()):
                    found.append(child)
        return found


@contextmanager
def running(state_dir: Path, **environment: str) -> Iterator[LocalAws]:
    """Run a server on a free port until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "include.local_aws", "--port", str(port), "--state-dir", str(state_dir)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | environment)
    server = LocalAws(f"http://127.0.0.1:{port}", state_dir, process)
    try:
        await_health(server)
        yield server
    finally:
        process.terminate()
        process.wait()


def await_health(server: LocalAws) -> dict[str, str]:
    """Return the health answer of a server that is starting."""
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/_local_aws/health", timeout=5) as answer:
                return json.load(answer)
        except OSError:  # it does not listen yet, or it listens and is slow to begin
            time.sleep(0.1)
    raise AssertionError(f"Local AWS did not answer; its exit status is {server.process.poll()}.")


def _survivors(processes: list[psutil.Process]) -> list[psutil.Process]:
    # In a container nobody may collect an orphan's exit status, so that it stays as a zombie.
    _, alive = psutil.wait_procs([p for p in processes if not is_zombie(p)], timeout=60)
    return [process for process in alive if not is_zombie(process)]


def is_zombie(process: psutil.Process) -> bool:
    """Return whether a process has ended and its parent has not noticed yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def survivors() -> Callable[[list[psutil.Process]], list[psutil.Process]]:
    """Return those of some processes that still run after a moment."""
    return _survivors


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One server for all tests; at its end none of its children may be left."""
    state_dir = tmp_path_factory.mktemp("local aws")  # with a blank, as a user's folder may have one
    with running(
        state_dir,
        LOCAL_AWS_SCALING_WINDOW="3",
        # What a job saves when it is stopped takes longer on a busy machine.
        LOCAL_AWS_STOP_GRACE="60",
        LOCAL_AWS_PING_TIMEOUT="60",
        LOCAL_AWS_FUNCTION_UPDATE="0.2",
    ) as server:
        yield server
        children = server.children()
    assert not _survivors(children), "Local AWS left processes behind"


@pytest.fixture
def start_local_aws(tmp_path: Path) -> Callable[..., Any]:
    """Run a further server, with its own state folder, for a block: for tests that end it."""

    def start(**environment: str) -> Any:
        return running(tmp_path / "state", **environment)

    return start


@pytest.fixture(scope="session")
def running_local_aws() -> Callable[..., Any]:
    """Run a further server, in a given folder, for a block: for modules that need one of their own."""
    return running


@dataclass(frozen=True)
class SlowImport:
    """Code for the start of a module, whose import takes until the test lets it finish.

    It takes no time where the file does not exist: in an AWS account.
    """

    marker: Path

    @property
    def code(self) -> str:
        return f"import os, time\nwhile os.path.exists({str(self.marker)!r}): time.sleep(0.02)\n"

    def begin(self) -> None:
        self.marker.touch()

    def finish(self) -> None:
        self.marker.unlink(missing_ok=True)


@pytest.fixture
def slow_import(tmp_path: Path) -> Iterator[SlowImport]:
    """Code that keeps a function or a model starting until the test lets it finish, or ends."""
    slow = SlowImport(tmp_path / "importing")
    slow.begin()
    yield slow
    slow.finish()


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Wait until a function's answer is true, and return it; it is called again after each pause."""

    def wait(probe: Callable[[], Any], seconds: float = 270.0, pause: float = 0.25) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := probe()):
            assert time.monotonic() < deadline, f"not so within {seconds} s"
            time.sleep(pause)
        return value

    return wait
