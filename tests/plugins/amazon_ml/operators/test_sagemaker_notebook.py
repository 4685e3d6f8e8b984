"""Operators for notebook instances and their lifecycle configurations, against local AWS."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from amazon_ml.operators.sagemaker_notebook import (
    SageMakerDeleteLifecycleConfigIfExistsOperator,
    SageMakerDeleteNotebookIfExistsOperator,
    SageMakerDeployLifecycleConfigOperator,
    SageMakerDeployNotebookOperator,
    SageMakerStartNotebookIfStoppedOperator,
    SageMakerStopNotebookIfRunningOperator,
)
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/any"
POLL = 0.2
FAILS = "exit 1"
"""A script that makes an instance fail, which is faster than an instance in service."""


class FakeContext(dict):
    """A task's context that stores XComs."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        super().__init__(
            ti=SimpleNamespace(
                start_date=datetime.now(UTC), xcom_push=lambda key, value: self.pushed.update({key: value})
            )
        )


def finish(operator: type, config: dict[str, Any], *, deferrable: bool = True, context: Any = None) -> Any:
    """Run a task to its end as worker and triggerer do, with a new operator and a new trigger at each step."""
    context, method, arguments = context or FakeContext(), "execute", {}
    while True:
        task = operator(task_id="task", config=config, poll_interval=POLL, deferrable=deferrable)
        try:
            return getattr(task, method)(context, **arguments)
        except TaskDeferred as deferred:
            _, trigger_arguments = deferred.trigger.serialize()
            trigger = type(deferred.trigger)(**trigger_arguments)
            method, arguments = deferred.method_name, {"event": asyncio.run(trigger.wait())}


def scripts(text: str) -> list[dict[str, str]]:
    return [{"Content": base64.b64encode(text.encode()).decode()}]


@pytest.fixture
def name() -> str:
    return f"notebook-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def config(aws: Any, name: str) -> Iterator[dict[str, Any]]:
    """A lifecycle configuration with an empty script; all resources of that name are deleted at the end."""
    sagemaker, key = aws.client("sagemaker"), "NotebookInstanceLifecycleConfigName"
    sagemaker.create_notebook_instance_lifecycle_config(**{key: name}, OnStart=scripts("true"))
    yield {key: name}
    while (status := status_of(sagemaker, name)) is not None:
        if status in ("Failed", "Stopped"):
            sagemaker.delete_notebook_instance(NotebookInstanceName=name)
        elif status == "InService":
            sagemaker.stop_notebook_instance(NotebookInstanceName=name)
        time.sleep(POLL)
    sagemaker.delete_notebook_instance_lifecycle_config(**{key: name})


@pytest.fixture
def request_for(name: str, config: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """A request for the test's instance."""

    def build(**members: Any) -> dict[str, Any]:
        return {
            "NotebookInstanceName": name,
            "InstanceType": "ml.t3.medium",
            "RoleArn": ROLE,
            "LifecycleConfigName": name,
            "VolumeSizeInGB": 10,
            "DirectInternetAccess": "Enabled",
            "RootAccess": "Disabled",
            "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
            "Tags": [{"Key": "project", "Value": "birds"}],
            **members,
        }

    return build


@pytest.fixture
def failing(aws: Any, name: str, request_for: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The request of an instance that exists and has failed."""
    set_script(aws, name, FAILS)
    with pytest.raises(
        AirflowException, match=r"is Failed after its start: .*OnStart failed with exit status 1"
    ):
        finish(SageMakerDeployNotebookOperator, request_for())
    return request_for()


def set_script(aws: Any, name: str, text: str) -> None:
    aws.client("sagemaker").update_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=name, OnStart=scripts(text)
    )


def status_of(sagemaker: Any, name: str) -> str | None:
    found = sagemaker.list_notebook_instances(NameContains=name)["NotebookInstances"]
    return found[0]["NotebookInstanceStatus"] if found else None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of operators that change something in SageMaker."""
    made: list[str] = []
    real = SageMakerDeployNotebookOperator.ask

    def ask(self: Any, operation: str, **members: Any) -> None:
        made.append(operation.removesuffix("_notebook_instance"))
        real(self, operation, **members)

    monkeypatch.setattr("amazon_ml.operators.sagemaker_notebook.SageMakerBaseNotebookOperator.ask", ask)
    return made


def test_lifecycle_of_an_instance_with_each_step_repeated(
    aws: Any, name: str, request_for: Callable[..., dict[str, Any]], calls: list[str]
) -> None:
    only_name, context = {"NotebookInstanceName": name}, FakeContext()
    running = {"name": name, "status": "InService"}

    assert finish(SageMakerDeployNotebookOperator, request_for(), context=context) == running
    assert finish(SageMakerDeployNotebookOperator, request_for()) == running
    assert calls == ["create"]
    assert "token" not in str(context.pushed)

    larger = request_for(InstanceType="ml.m5.xlarge", VolumeSizeInGB=20)
    set_script(aws, name, FAILS)
    with pytest.raises(AirflowException, match="OnStart failed"):
        finish(SageMakerDeployNotebookOperator, larger)
    assert calls[1:] == ["stop", "update", "start"]
    found = aws.client("sagemaker").describe_notebook_instance(**only_name)
    assert (found["InstanceType"], found["VolumeSizeInGB"]) == ("ml.m5.xlarge", 20)

    set_script(aws, name, "true")
    for _ in range(2):
        assert finish(SageMakerStartNotebookIfStoppedOperator, only_name, deferrable=False) == running
    for _ in range(2):
        assert finish(SageMakerStopNotebookIfRunningOperator, only_name)["status"] == "Stopped"
    for _ in range(2):
        assert finish(SageMakerDeleteNotebookIfExistsOperator, only_name) == {"name": name, "status": None}
    assert calls[4:] == ["start", "stop", "delete"]
    assert status_of(aws.client("sagemaker"), name) is None


class TestSageMakerDeployNotebookOperator:
    def test_template_fields(self) -> None:
        assert SageMakerDeployNotebookOperator.template_fields == (
            "aws_conn_id",
            "config",
            "region_name",
            "verify",
        )

    def test_failed_instance_is_started_again_and_its_reason_is_reported(
        self, failing: dict[str, Any], calls: list[str]
    ) -> None:
        with pytest.raises(AirflowException, match="OnStart failed with exit status 1"):
            finish(SageMakerDeployNotebookOperator, failing, deferrable=False)
        assert calls == ["start"]

    @pytest.mark.parametrize(
        ("wanted", "difference"),
        [
            pytest.param(
                {"DirectInternetAccess": "Disabled"},
                "DirectInternetAccess: requested 'Disabled', found 'Enabled'",
                id="what is fixed at creation",
            ),
            pytest.param(
                {"VolumeSizeInGB": 5}, "VolumeSizeInGB: requested 5, found 10", id="a smaller volume"
            ),
        ],
    )
    def test_unsupported_change_is_an_error_without_any_change(
        self, failing: dict[str, Any], calls: list[str], wanted: dict[str, Any], difference: str
    ) -> None:
        with pytest.raises(
            AirflowFailException, match=f"can't be changed as requested: {difference}. Request"
        ):
            finish(SageMakerDeployNotebookOperator, {**failing, **wanted, "InstanceType": "ml.m5.xlarge"})
        assert calls == []

    def test_update_without_effect_is_an_error(
        self, failing: dict[str, Any], calls: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = SageMakerDeployNotebookOperator.ask

        def ask(self: Any, operation: str, **members: Any) -> None:
            members.pop("IpAddressType")  # an update that leaves this member as it was
            send(self, operation, **members)

        monkeypatch.setattr("amazon_ml.operators.sagemaker_notebook.SageMakerBaseNotebookOperator.ask", ask)
        with pytest.raises(AirflowException, match="was updated, but still differs in IpAddressType"):
            finish(SageMakerDeployNotebookOperator, {**failing, "IpAddressType": "dualstack"})
        assert calls == ["update"]

    def test_instance_that_is_created_in_the_meantime_is_adopted(
        self, aws: Any, name: str, failing: dict[str, Any], calls: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, answers = SageMakerDeployNotebookOperator.describe, iter([None])
        monkeypatch.setattr(
            SageMakerDeployNotebookOperator, "describe", lambda self, name: next(answers, real(self, name))
        )
        with pytest.raises(AirflowException, match="OnStart failed"):
            finish(SageMakerDeployNotebookOperator, failing)
        assert calls == ["create", "start"]

    def test_other_errors_are_raised(self, request_for: Callable[..., dict[str, Any]]) -> None:
        with pytest.raises(ClientError, match="Lifecycle Config does not exist"):
            finish(SageMakerDeployNotebookOperator, request_for(LifecycleConfigName="no-such"))

    def test_kill_does_not_affect_the_instance(self, failing: dict[str, Any], calls: list[str]) -> None:
        task = SageMakerDeployNotebookOperator(task_id="task", config=failing)
        task.name = failing["NotebookInstanceName"]
        task.on_kill()
        assert calls == []


class TestSageMakerStartNotebookIfStoppedOperator:
    def test_missing_instance_is_an_error(self, aws: Any, name: str) -> None:
        with pytest.raises(
            AirflowFailException, match=f"Notebook instance {name} does not exist. Create it first"
        ):
            finish(SageMakerStartNotebookIfStoppedOperator, {"NotebookInstanceName": name})


class Sleepy:
    """SageMaker with an instance that starts only at one of several accepted starts."""

    def __init__(self, starts: int) -> None:
        self.starts, self.asked = starts, 0
        self.meta = SimpleNamespace(endpoint_url="http://127.0.0.1")

    def start_notebook_instance(self, NotebookInstanceName: str) -> None:
        self.asked += 1

    def describe_notebook_instance(self, NotebookInstanceName: str) -> dict[str, Any]:
        status = "InService" if self.asked >= self.starts else "Stopped"
        return {"NotebookInstanceName": NotebookInstanceName, "NotebookInstanceStatus": status}


class TestStartWithoutEffect:
    @pytest.fixture
    def sleepy(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Sleepy]:
        def use(starts: int) -> Sleepy:
            client = Sleepy(starts)
            monkeypatch.setattr(SageMakerHook, "conn", client)
            monkeypatch.setattr("amazon_ml.operators.sagemaker_notebook.START_SECONDS", 0.05)
            return client

        return use

    def test_start_is_repeated(self, sleepy: Callable[[int], Sleepy], name: str) -> None:
        client = sleepy(3)
        config = {"NotebookInstanceName": name}
        result = finish(SageMakerStartNotebookIfStoppedOperator, config, deferrable=False)
        assert result == {"name": name, "status": "InService"}
        assert client.asked == 3

    def test_number_of_starts_is_limited(self, sleepy: Callable[[int], Sleepy], name: str) -> None:
        client = sleepy(99)
        with pytest.raises(AirflowException, match="still Stopped after 4 starts that SageMaker accepted"):
            finish(SageMakerStartNotebookIfStoppedOperator, {"NotebookInstanceName": name}, deferrable=False)
        assert client.asked == 4


class NewRole:
    """SageMaker that can't assume the role of an instance at the first two attempts to create it."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.meta = SimpleNamespace(endpoint_url="http://127.0.0.1")

    def create_notebook_instance(self, **request: Any) -> None:
        self.requests.append(request)
        if len(self.requests) < 3:
            self._refuse(f"Could not assume role {ROLE}. Please ensure that the role exists.")

    def describe_notebook_instance(self, NotebookInstanceName: str) -> dict[str, Any]:
        if len(self.requests) < 3:
            self._refuse("RecordNotFound")
        return {"NotebookInstanceName": NotebookInstanceName, "NotebookInstanceStatus": "InService"}

    def _refuse(self, message: str) -> None:
        error = {"Code": "ValidationException", "Message": message}
        raise ClientError({"Error": error}, "CreateNotebookInstance")


def test_creation_is_retried_while_the_role_propagates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = NewRole()
    monkeypatch.setattr(SageMakerHook, "conn", client)
    monkeypatch.setattr("amazon_ml.operators.sagemaker_base.PROPAGATION_PAUSE_SECONDS", 0.0)
    config = {"NotebookInstanceName": name, "RoleArn": ROLE}
    result = finish(SageMakerDeployNotebookOperator, config, deferrable=False)
    assert result == {"name": name, "status": "InService"}
    assert client.requests == [config] * 3


class TestSageMakerStopNotebookIfRunningOperator:
    def test_missing_instance_is_accepted(self, aws: Any, name: str) -> None:
        stopped = finish(SageMakerStopNotebookIfRunningOperator, {"NotebookInstanceName": name})
        assert stopped == {"name": name, "status": None}


class TestSageMakerLifecycleConfigOperators:
    def deploy(self, name: str, **hooks: Any) -> str:
        config = {"NotebookInstanceLifecycleConfigName": name, **hooks}
        return SageMakerDeployLifecycleConfigOperator(task_id="task", config=config).execute({})

    def delete(self, name: str) -> None:
        config = {"NotebookInstanceLifecycleConfigName": name}
        SageMakerDeleteLifecycleConfigIfExistsOperator(task_id="task", config=config).execute({})

    def found(self, aws: Any, name: str) -> dict[str, Any]:
        return aws.client("sagemaker").describe_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=name
        )

    def test_configuration_is_created_kept_updated_and_deleted(self, aws: Any, name: str) -> None:
        first = {"OnCreate": scripts("true"), "OnStart": scripts("true")}
        assert self.deploy(name, **first) == name
        before = self.found(aws, name)
        assert self.deploy(name, **first) == name
        assert self.found(aws, name)["LastModifiedTime"] == before["LastModifiedTime"]
        assert self.deploy(name, OnStart=scripts("date")) == name
        after = self.found(aws, name)
        assert (after.get("OnCreate"), after["OnStart"]) == ([], scripts("date"))
        for _ in range(2):
            self.delete(name)
        with pytest.raises(ClientError, match="does not exist"):
            self.found(aws, name)

    def test_missing_configuration_is_accepted(
        self, aws: Any, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = aws.client("sagemaker")
        # If the policy requires a tag, AWS denies access, since a missing resource has no tags.
        monkeypatch.setattr(client, "delete_notebook_instance_lifecycle_config", None)
        monkeypatch.setattr(SageMakerHook, "conn", client)
        self.delete(name)

    def test_configuration_that_is_created_in_the_meantime_is_updated(
        self, aws: Any, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = aws.client("sagemaker")
        real = client.describe_notebook_instance_lifecycle_config
        missing = ClientError(
            {"Error": {"Code": "ValidationException", "Message": "Lifecycle Config does not exist."}}, ""
        )
        answers = iter([missing])

        def describe(**arguments: Any) -> Any:
            if error := next(answers, None):
                client.create_notebook_instance_lifecycle_config(**arguments, OnStart=scripts("true"))
                raise error
            return real(**arguments)

        monkeypatch.setattr(client, "describe_notebook_instance_lifecycle_config", describe)
        monkeypatch.setattr(SageMakerHook, "conn", client)
        assert self.deploy(name, OnStart=scripts("date")) == name
        assert self.found(aws, name)["OnStart"] == scripts("date")
        self.delete(name)
