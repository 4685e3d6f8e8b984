"""The alias of a function with provisioned concurrency, on local AWS."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import function_alias, names, rollback, scaling
from include.pipeline.results import LiveRelease
from include.pipeline.settings import Project
from include.pipeline.waiting import StepState, finish


def package(code: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), code)
    return content.getvalue()


class Function:
    """A project's function, with an alias that has provisioned concurrency."""

    def __init__(self, project: Project, client: Any, role: str) -> None:
        self.project = project
        self.client = client
        self.name = names.function_name(project)
        self.client.create_function(
            FunctionName=self.name,
            Role=role,
            Runtime="python3.12",
            Handler="app.handler",
            Timeout=60,
            Code={"ZipFile": package("def handler(event, context): return context.function_version\n")},
        )
        self.client.get_waiter("function_active_v2").wait(FunctionName=self.name)

    @property
    def alias(self) -> dict[str, str]:
        return {"FunctionName": self.name, "Name": names.ALIAS}

    def publish(self, code: str) -> str:
        self.client.update_function_code(FunctionName=self.name, ZipFile=package(code))
        self.client.get_waiter("function_updated_v2").wait(FunctionName=self.name)
        return self.client.publish_version(FunctionName=self.name)["Version"]

    def warm(self, version: str) -> None:
        self.client.create_alias(**self.alias, FunctionVersion=version)
        self.client.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=names.ALIAS, ProvisionedConcurrentExecutions=1
        )
        self.settle()

    def settle(self) -> str:
        """Wait until Lambda has finished provisioning, and return the status."""
        while True:
            found = self.client.get_provisioned_concurrency_config(
                FunctionName=self.name, Qualifier=names.ALIAS
            )
            if found["Status"] != "IN_PROGRESS":
                return found["Status"]
            time.sleep(0.1)

    def end_move(
        self,
        version: str,
        progress: Callable[[str], None] = print,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        finish(
            lambda state: function_alias.end_move(self.project, version, self.client, state, progress),
            pause=0.1,
            sleep=sleep,
        )

    def served(self) -> str:
        """Return the version that answers."""
        answer = self.client.invoke(FunctionName=self.name, Qualifier=names.ALIAS)
        return json.load(answer["Payload"])


GOOD = "def handler(event, context): return context.function_version  # {}\n"
BROKEN = "import nowhere\n"


@pytest.fixture
def function(local_aws: Any) -> Iterator[Function]:
    project = Project(name=f"p{uuid.uuid4().hex[:8]}", description="x", poll_seconds=1)
    role = local_aws.client("iam").create_role(RoleName=project.name, AssumeRolePolicyDocument="{}")
    function = Function(project, local_aws.client("lambda"), role["Role"]["Arn"])
    yield function
    function.client.delete_function(FunctionName=function.name)


def test_it_waits_until_calls_go_to_the_version(
    function: Function, slow_import: Any, caplog: pytest.LogCaptureFixture
) -> None:
    function.warm(function.publish(GOOD.format("one")))
    version = function.publish(slow_import.code + GOOD.format("two"))

    def sleep(seconds: float) -> None:
        slow_import.finish()
        time.sleep(seconds)

    caplog.set_level("INFO")
    function_alias.begin_move(function.project, version, function.client)
    assert function.served() == "1"
    function.end_move(version, sleep=sleep)
    assert function.served() == version
    assert "until its new version is provisioned" in caplog.messages[0]


def test_an_alias_without_provisioned_concurrency_or_a_missing_one_needs_no_wait(function: Function) -> None:
    function_alias.wait_until_moved(function.project, function.client, StepState())
    function.client.create_alias(**function.alias, FunctionVersion=function.publish(GOOD.format("one")))
    version = function.publish(GOOD.format("two"))
    function_alias.begin_move(function.project, version, function.client)
    function_alias.end_move(function.project, version, function.client, StepState(), pytest.fail)
    assert function.served() == version


def test_it_goes_back_from_a_version_that_could_not_be_provisioned(function: Function) -> None:
    good = function.publish(GOOD.format("one"))
    function.warm(good)
    function.client.update_alias(**function.alias, FunctionVersion=function.publish(BROKEN))
    assert function.settle() == "FAILED"
    with pytest.raises(function_alias.AliasError, match=r"still go to version 1: .*INIT_FAILURE"):
        function_alias.wait_until_moved(function.project, function.client, StepState())
    function_alias.begin_move(function.project, good, function.client)
    function.end_move(good)
    assert function.served() == good
    assert "RoutingConfig" not in function.client.get_alias(**function.alias)


def test_a_version_that_can_no_longer_be_provisioned_serves_without_warm_environments(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.warm(function.publish(GOOD.format("one")))
    broken = function.publish(BROKEN)
    function_alias.begin_move(function.project, broken, function.client)
    said: list[str] = []
    function.end_move(broken, said.append)
    assert f"all calls to version {broken}, without warm environments" in said[-1]
    assert "RoutingConfig" not in function.client.get_alias(**function.alias)


def test_an_alias_that_does_not_move_is_an_error(
    function: Function, slow_import: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.warm(function.publish(GOOD.format("one")))
    version = function.publish(slow_import.code + GOOD.format("two"))
    function_alias.begin_move(function.project, version, function.client)
    monkeypatch.setattr(function_alias, "WAIT_SECONDS", -1)
    with pytest.raises(function_alias.AliasError, match="still go to version 1"):
        function_alias.wait_until_moved(function.project, function.client, StepState())


def test_any_other_refusal_is_raised(function: Function) -> None:
    function.client.create_alias(**function.alias, FunctionVersion=function.publish(GOOD.format("one")))
    with pytest.raises(ClientError, match="Function not found"):
        function_alias.begin_move(function.project, "77", function.client)


def test_a_rollback_returns_the_endpoint_before_it_waits_for_the_alias(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[str] = []
    for module, name in (
        (rollback, "_settle"),
        (function_alias, "begin_move"),
        (rollback, "_return_to"),
        (scaling, "restore"),
        (function_alias, "end_move"),
    ):
        monkeypatch.setattr(module, name, lambda *_, name=name: steps.append(name))
    monkeypatch.setattr(rollback, "endpoint_status", lambda *_: "InService")
    project = Project(name="birds", description="x")
    before = LiveRelease(endpoint_config="c", model="m", artifact="a", inputs="i", function_version="1")
    rollback.roll_back(project, before, None, None, None, None, StepState())
    assert steps == ["_settle", "begin_move", "_return_to", "restore", "end_move"]
