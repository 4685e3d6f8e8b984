"""When environments are made, shared and ended; with real processes, and functions in this process's moto."""

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.local_aws.awslambda import aliases as aliases_module
from include.local_aws.awslambda import fleet as fleet_module
from include.local_aws.awslambda.aliases import Aliases
from include.local_aws.awslambda.fleet import Fleet, Target
from include.local_aws.awslambda.moto_functions import Function, find_function
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Function]]:
    """Creates functions whose handler answers None."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): ...\n")
    with mock_aws():
        session = boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")

        def create_function(name: str) -> Function:
            session.client("lambda").create_function(
                FunctionName=name,
                Role="arn:aws:iam::123456789012:role/role",
                Runtime="python3.11",
                Handler="app.handler",
                Code={"ZipFile": content.getvalue()},
            )
            return find_function("us-east-1", name)

        yield create_function


@pytest.fixture
def clock() -> list[float]:
    """The clock of the fleet, which only the test advances."""
    return [0.0]


@pytest.fixture
def fleet(local_aws: Any, children: ChildProcesses, clock: list[float], tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with the running server for its logs."""
    config = Config(state_dir=tmp_path, port=int(local_aws.url.rsplit(":", 1)[1]))
    fleet = Fleet(config, children, clock=lambda: clock[0])
    yield fleet
    fleet.close()


def use(fleet: Fleet, function: Function) -> Any:
    """Take an environment for a moment; the same one again is the same object."""
    with fleet.environment(function, None) as environment:
        return environment


def test_an_idle_environment_is_used_again_and_ends_after_a_while(
    fleet: Fleet, create: Callable[[str], Function], clock: list[float], eventually: Callable[..., Any]
) -> None:
    function = create("function")
    environment = use(fleet, function)
    clock[0] += fleet_module.IDLE_SECONDS
    assert use(fleet, function) is environment
    clock[0] += fleet_module.IDLE_SECONDS + 1
    eventually(lambda: not environment.alive)
    assert use(fleet, function) is not environment


def test_an_environment_that_ended_is_not_used_again(fleet: Fleet, create: Callable[[str], Function]) -> None:
    function = create("function")
    with fleet.environment(function, None) as ended:
        ended.end()  # as after a timeout
    assert use(fleet, function) is not ended


def test_an_environment_is_ended_by_one_thread_at_a_time(
    fleet: Fleet, children: ChildProcesses, create: Callable[[str], Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed by two at once, a channel may close a file of another thread, which has got its number."""
    environment = use(fleet, create("function"))
    stop = children.stop
    inside: list[int] = []
    most: list[int] = []
    second = threading.Event()

    def slow_stop(*arguments: Any, **options: Any) -> None:
        inside.append(1)
        most.append(len(inside))
        if len(inside) == 2:
            second.set()
        second.wait(0.5)
        stop(*arguments, **options)
        inside.pop()

    monkeypatch.setattr(children, "stop", slow_stop)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: environment.end(), range(2)))
    assert most == [1, 1]


def test_no_more_than_the_limit_run_at_once(
    fleet: Fleet, create: Callable[[str], Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "CONCURRENCY_LIMIT", 1)
    function = create("function")
    with fleet.environment(function, None):
        with pytest.raises(AwsError) as caught:
            use(fleet, function)
    assert (caught.value.code, caught.value.status) == ("TooManyRequestsException", 429)


def test_an_idle_environment_makes_room_for_another_function(
    fleet: Fleet, create: Callable[[str], Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "CONCURRENCY_LIMIT", 1)
    first = use(fleet, create("first"))
    assert use(fleet, create("second")).alive
    assert not first.alive


def test_the_answer_to_a_request_says_that_nothing_is_provisioned_yet(
    fleet: Fleet, create: Callable[[str], Function], eventually: Callable[..., Any]
) -> None:
    create("function")
    answer = fleet.provision(Target("us-east-1", "function", "$LATEST"), 1)
    eventually(lambda: fleet.provisioned("us-east-1", "function")["$LATEST"].status == "READY")
    assert (answer.status, answer.ready) == ("IN_PROGRESS", 0)


def test_an_alias_does_not_move_while_the_fleet_checks_what_is_provisioned(
    fleet: Fleet,
    create: Callable[[str], Function],
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, client = {"FunctionName": "function"}, boto3.client("lambda", region_name="us-east-1")
    create("function")
    client.publish_version(**name)
    client.update_function_configuration(**name, Timeout=9)
    client.publish_version(**name)
    aliases = Aliases(fleet)
    aliases.create("us-east-1", "function", {"Name": "live", "FunctionVersion": "1"})
    fleet.provision(Target("us-east-1", "function", "live"), 1)
    eventually(lambda: fleet.provisioned("us-east-1", "function")["live"].status == "READY")
    change = aliases_module.change_alias

    def change_slowly(*arguments: Any) -> None:
        change(*arguments)
        time.sleep(1)  # the fleet checks four times in a second

    monkeypatch.setattr(aliases_module, "change_alias", change_slowly)
    aliases.update("us-east-1", "function", "live", {"FunctionVersion": "2"})
    found = aliases.get("us-east-1", "function", "live")
    assert found["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 1.0}}


def test_closing_ends_every_environment(fleet: Fleet, create: Callable[[str], Function]) -> None:
    environment = use(fleet, create("function"))
    fleet.close()
    assert not environment.alive
    with pytest.raises(AwsError, match="shutting down"):
        use(fleet, environment.function)
