"""Operators for models, endpoint configurations and endpoints against local AWS: created once, verified, deleted."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeleteEndpointConfigOperator,
    SageMakerDeleteEndpointOperator,
    SageMakerDeleteModelIfExistsOperator,
    SageMakerDeployEndpointOperator,
    SageMakerEndpointConfigIfAbsentOperator,
    SageMakerModelIfAbsentOperator,
)
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.archives import ANSWERS_ALL, put_archive
from tests.endpoints import variant
from tests.environments import WITHOUT_TORCH
from tests.plugins.amazon_ml.asynchronous import connect_triggers

BUCKET = "operators"
ROLE = "arn:aws:iam::123456789012:role/any"
VARIANT = "AllTraffic"
DEFERRED = [pytest.param(False, id="waiting"), pytest.param(True, id="deferred")]

CODE = ANSWERS_ALL["code/inference.py"]
# Prepended to the code of a model, so that it does not start before a file exists.
GATED = """
import pathlib, time

while not pathlib.Path({gate!r}).exists():
    time.sleep(0.1)
"""
BROKEN = "raise RuntimeError('this model does not start')\n"


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def upload_model(s3: Any, code: str) -> str:
    """Upload a model that consists of its code to S3, and return its URI."""
    return put_archive(s3, f"s3://{BUCKET}/{unique('model')}.tar.gz", {"code/inference.py": code})


@pytest.fixture
def any_model(aws: Any) -> str:
    """The URI of a model archive that is never loaded."""
    return put_archive(aws.client("s3"), f"s3://{BUCKET}/any.tar.gz")


@pytest.fixture
def other_model(aws: Any) -> str:
    """The URI of another model archive."""
    return put_archive(aws.client("s3"), f"s3://{BUCKET}/other.tar.gz")


def model_request(name: str, artifact: str) -> dict[str, Any]:
    return {
        "ModelName": name,
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"Image": "image", "ModelDataUrl": artifact, "Environment": WITHOUT_TORCH},
        "Tags": [{"Key": "project", "Value": "birds"}],
    }


def config_request(name: str, model: str) -> dict[str, Any]:
    return {"EndpointConfigName": name, "ProductionVariants": [variant(model, VARIANT)]}


def create_configuration(sagemaker: Any, artifact: str) -> str:
    """Create a model and an endpoint configuration with the same name, and return the name."""
    name = unique("config")
    sagemaker.create_model(**model_request(name, artifact))
    sagemaker.create_endpoint_config(**config_request(name, name))
    return name


def delete_endpoint(sagemaker: Any, name: str) -> None:
    """Delete an endpoint if it exists, even if it is being changed."""
    while True:
        try:
            sagemaker.delete_endpoint(EndpointName=name)
        except ClientError as error:
            if "Could not find" in str(error):
                return
        time.sleep(0.1)


def finish(
    make: Callable[[], Any], context: Any = None, before_waiting: Callable[[], Any] = lambda: None
) -> tuple[Any, list[str]]:
    """
    Run a task to its end, as worker and triggerer would: with a new operator, and a new trigger, at each step.

    Returns the result and the methods that went on after each wait.
    """
    context, resumed = context or {}, []
    method, arguments = "execute", {}
    while True:
        try:
            return getattr(make(), method)(context, **arguments), resumed
        except TaskDeferred as deferred:
            before_waiting()
            _, trigger_arguments = deferred.trigger.serialize()
            trigger = type(deferred.trigger)(**trigger_arguments)
            method, arguments = (
                deferred.method_name,
                {**(deferred.kwargs or {}), "event": asyncio.run(trigger.wait())},
            )
            resumed.append(method)


class FakeContext(dict):
    """A task's context that stores XComs."""

    def __init__(self, **kwargs: Any) -> None:
        self.pushed: dict[str, Any] = {}
        super().__init__(
            ti=SimpleNamespace(
                start_date=datetime.now(UTC), xcom_push=lambda key, value: self.pushed.update({key: value})
            ),
            **kwargs,
        )


@pytest.fixture
def artifact(aws: Any) -> str:
    return upload_model(aws.client("s3"), CODE)


@pytest.fixture
def broken_artifact(aws: Any) -> str:
    return upload_model(aws.client("s3"), BROKEN)


@pytest.fixture
def endpoint(aws: Any) -> Iterator[str]:
    """The name of an endpoint that is deleted at the end, if it exists."""
    name = unique("endpoint")
    yield name
    delete_endpoint(aws.client("sagemaker"), name)


@pytest.fixture(scope="module")
def served_endpoint(local_aws: Any) -> Iterator[str]:
    """An endpoint in service."""
    sagemaker, name = local_aws.client("sagemaker"), unique("served")
    configuration = create_configuration(sagemaker, upload_model(local_aws.client("s3"), CODE))
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=configuration)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    yield name
    delete_endpoint(sagemaker, name)


class TestSageMakerModelIfAbsentOperator:
    def create(self, request: dict[str, Any]) -> str:
        return SageMakerModelIfAbsentOperator(task_id="model", config=request).execute({})

    def test_template_fields(self) -> None:
        assert SageMakerModelIfAbsentOperator.template_fields == (
            "aws_conn_id",
            "config",
            "region_name",
            "verify",
        )

    def test_model_is_created(self, aws: Any, any_model: str) -> None:
        request = model_request(unique("model"), any_model)
        assert self.create(request) == request["ModelName"]
        found = aws.client("sagemaker").describe_model(ModelName=request["ModelName"])
        assert found["PrimaryContainer"]["ModelDataUrl"] == any_model

    def test_existing_equal_model_is_accepted_with_other_tags(self, aws: Any, any_model: str) -> None:
        request = model_request(unique("model"), any_model)
        assert self.create(request) == self.create({**request, "Tags": []})

    def test_different_resource_of_that_name_is_an_error_with_the_differences(
        self, aws: Any, any_model: str, other_model: str
    ) -> None:
        name = unique("model")
        self.create(model_request(name, any_model))
        with pytest.raises(
            AirflowFailException,
            match=f"The model {name} already.*PrimaryContainer.ModelDataUrl: requested '{other_model}', "
            f"found '{any_model}'",
        ):
            self.create(model_request(name, other_model))

    def test_retry_after_a_lost_response_finds_the_model(
        self, aws: Any, monkeypatch: pytest.MonkeyPatch, any_model: str
    ) -> None:
        request, client = model_request(unique("model"), any_model), aws.client("sagemaker")

        def create_and_lose(**arguments: Any) -> None:
            type(client).create_model(client, **arguments)
            raise ConnectionClosedError(endpoint_url=aws.url)

        with monkeypatch.context() as patched:
            patched.setattr(client, "create_model", create_and_lose)
            patched.setattr(SageMakerHook, "conn", client)
            with pytest.raises(ConnectionClosedError):
                self.create(request)
        assert self.create(request) == request["ModelName"]

    def test_model_that_is_created_in_the_meantime_is_compared(
        self, aws: Any, monkeypatch: pytest.MonkeyPatch, any_model: str, other_model: str
    ) -> None:
        name, client = unique("model"), aws.client("sagemaker")
        missing = ClientError(
            {"Error": {"Code": "ValidationException", "Message": "Could not find model"}}, ""
        )
        real, answers = client.describe_model, iter([missing])

        def describe(**arguments: Any) -> Any:
            if error := next(answers, None):
                client.create_model(**model_request(name, any_model))
                raise error
            return real(**arguments)

        monkeypatch.setattr(client, "describe_model", describe)
        monkeypatch.setattr(SageMakerHook, "conn", client)
        with pytest.raises(AirflowFailException, match="ModelDataUrl"):
            self.create(model_request(name, other_model))

    def test_other_errors_are_raised(self, aws: Any) -> None:
        with pytest.raises(ClientError, match="ValidationException"):
            self.create({"ModelName": unique("model"), "ExecutionRoleArn": ROLE, "Containers": []})


class TestSageMakerEndpointConfigIfAbsentOperator:
    def create(self, request: dict[str, Any]) -> str:
        return SageMakerEndpointConfigIfAbsentOperator(task_id="config", config=request).execute({})

    @pytest.fixture
    def model(self, aws: Any, any_model: str) -> str:
        name = unique("model")
        aws.client("sagemaker").create_model(**model_request(name, any_model))
        return name

    def test_template_fields(self) -> None:
        assert "config" in SageMakerEndpointConfigIfAbsentOperator.template_fields

    def test_configuration_is_created_once(self, aws: Any, model: str) -> None:
        request = config_request(unique("config"), model)
        assert self.create(request) == self.create(request) == request["EndpointConfigName"]

    def test_different_resource_of_that_name_is_an_error_with_the_differences(
        self, aws: Any, model: str
    ) -> None:
        request = config_request(unique("config"), model)
        self.create(request)
        request["ProductionVariants"][0]["InitialInstanceCount"] = 2
        with pytest.raises(
            AirflowFailException,
            match=r"ProductionVariants\[AllTraffic\].InitialInstanceCount: requested 2, found 1",
        ):
            self.create(request)

    @pytest.mark.parametrize("message", ['Could not find model "arn".', "Could not assume role arn."])
    def test_creation_is_retried_while_the_model_propagates(
        self, aws: Any, model: str, monkeypatch: pytest.MonkeyPatch, message: str
    ) -> None:
        monkeypatch.setattr("amazon_ml.operators.sagemaker_base.PROPAGATION_PAUSE_SECONDS", 0.0)
        request, client = config_request(unique("config"), model), aws.client("sagemaker")
        early = ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Create")
        create, refusals = client.create_endpoint_config, [early, early]

        def create_later(**arguments: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return create(**arguments)

        monkeypatch.setattr(client, "create_endpoint_config", create_later)
        monkeypatch.setattr(SageMakerHook, "conn", client)
        assert self.create(request) == request["EndpointConfigName"]
        assert not refusals


class TestSageMakerDeployEndpointOperator:
    def operator(self, endpoint: str, configuration: str, **kwargs: Any) -> SageMakerDeployEndpointOperator:
        kwargs = {"deferrable": False, "poll_interval": 0.3, **kwargs}
        request = {"EndpointName": endpoint, "EndpointConfigName": configuration}
        return SageMakerDeployEndpointOperator(task_id="deploy", config=request, **kwargs)

    def deploy(self, endpoint: str, configuration: str, **kwargs: Any) -> dict[str, Any]:
        return finish(lambda: self.operator(endpoint, configuration, **kwargs))[0]

    def test_template_fields(self) -> None:
        assert SageMakerDeployEndpointOperator.template_fields == (
            "aws_conn_id",
            "config",
            "deployment_config",
            "region_name",
            "verify",
        )

    @pytest.mark.parametrize("deferrable", DEFERRED)
    def test_endpoint_is_created_updated_and_not_changed_again(
        self, aws: Any, endpoint: str, artifact: str, deferrable: bool
    ) -> None:
        sagemaker = aws.client("sagemaker")
        first, second = (create_configuration(sagemaker, artifact) for _ in range(2))
        created = self.deploy(endpoint, first, deferrable=deferrable)
        described = sagemaker.describe_endpoint(EndpointName=endpoint)
        assert created == {
            "name": endpoint,
            "configuration": first,
            "arn": described["EndpointArn"],
            "status": "InService",
            "updated": described["LastModifiedTime"].isoformat(),
        }
        updated = self.deploy(endpoint, second, deferrable=deferrable)
        assert updated["configuration"] == second
        assert self.deploy(endpoint, second, deferrable=deferrable) == updated

    def test_update_retains_scaling_unless_disabled(self, aws: Any, endpoint: str, artifact: str) -> None:
        sagemaker = aws.client("sagemaker")
        first, second, third = (create_configuration(sagemaker, artifact) for _ in range(3))
        self.deploy(endpoint, first)
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": VARIANT, "DesiredInstanceCount": 2}],
        )
        counts = []
        for configuration, retain in ((second, True), (third, False)):
            self.deploy(endpoint, configuration, retain_all_variant_properties=retain)
            [variant] = sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
            counts.append(variant["CurrentInstanceCount"])
        assert counts == [2, 1]

    def test_failed_update_affects_no_request_and_reports_the_reason(
        self, aws: Any, endpoint: str, artifact: str, tmp_path: Path, eventually: Callable[..., Any]
    ) -> None:
        sagemaker, runtime, gate = aws.client("sagemaker"), aws.client("sagemaker-runtime"), tmp_path / "gate"
        broken = upload_model(aws.client("s3"), GATED.format(gate=str(gate)) + BROKEN)
        good, bad = (create_configuration(sagemaker, each) for each in (artifact, broken))
        self.deploy(endpoint, good)
        answers: list[tuple[str, Any]] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                status = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"]
                try:
                    answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=b"hello")
                    answers.append((status, answer["ResponseMetadata"]["HTTPStatusCode"]))
                except Exception as error:
                    answers.append((status, error))
                if answers[-1][0] == "Updating":
                    gate.touch()  # only then does the new model fail

        client = threading.Thread(target=ask)
        client.start()
        try:
            with pytest.raises(
                AirflowException,
                match=f"InService with configuration {good} instead of {bad}. The update was rolled back: .*ping",
            ):
                self.deploy(endpoint, bad)
            so_far = len(answers)
            eventually(lambda: len(answers) >= so_far + 5)
        finally:
            over.set()
            client.join()
        assert {code for _, code in answers} == {200}
        assert "Updating" in {status for status, _ in answers}

    @pytest.mark.parametrize("deferrable", DEFERRED)
    def test_failed_endpoint_is_replaced_by_the_next_try(
        self, aws: Any, endpoint: str, artifact: str, broken_artifact: str, deferrable: bool
    ) -> None:
        sagemaker = aws.client("sagemaker")
        bad, good = (
            create_configuration(sagemaker, broken_artifact),
            create_configuration(sagemaker, artifact),
        )
        with pytest.raises(
            AirflowException, match=f"{endpoint} is Failed after the deployment of {bad}: .*ping"
        ):
            self.deploy(endpoint, bad, deferrable=deferrable)
        assert self.deploy(endpoint, good, deferrable=deferrable)["configuration"] == good

    def test_update_of_another_user_is_waited_for_without_a_worker(
        self, aws: Any, endpoint: str, tmp_path: Path
    ) -> None:
        sagemaker, gate = aws.client("sagemaker"), tmp_path / "gate"
        artifact = upload_model(aws.client("s3"), GATED.format(gate=str(gate)) + CODE)
        other, wanted = (create_configuration(sagemaker, artifact) for _ in range(2))
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=other)
        result, resumed = finish(
            lambda: self.operator(endpoint, wanted, deferrable=True), before_waiting=gate.touch
        )
        assert result["configuration"] == wanted
        assert resumed == ["execute_next", "execute_complete"]

    @pytest.mark.parametrize("deferrable", DEFERRED)
    def test_retry_waits_for_the_change_of_the_killed_try(
        self, aws: Any, endpoint: str, artifact: str, deferrable: bool
    ) -> None:
        sagemaker = aws.client("sagemaker")
        wanted = create_configuration(sagemaker, artifact)
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=wanted)
        begun = sagemaker.describe_endpoint(EndpointName=endpoint)["CreationTime"]
        assert self.deploy(endpoint, wanted, deferrable=deferrable)["configuration"] == wanted
        assert sagemaker.describe_endpoint(EndpointName=endpoint)["CreationTime"] == begun

    def test_kill_does_not_affect_the_endpoint(
        self, aws: Any, endpoint: str, artifact: str, eventually: Callable[..., Any]
    ) -> None:
        sagemaker = aws.client("sagemaker")
        operator = self.operator(endpoint, create_configuration(sagemaker, artifact), deferrable=True)
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute({})
        operator.on_kill()
        asyncio.run(deferred.value.trigger.on_kill())
        describe = sagemaker.describe_endpoint
        eventually(lambda: describe(EndpointName=endpoint)["EndpointStatus"] == "InService")

    @pytest.mark.parametrize("deferrable", DEFERRED)
    def test_timeout_reports_the_status_of_the_endpoint(
        self, aws: Any, endpoint: str, tmp_path: Path, deferrable: bool
    ) -> None:
        gate = tmp_path / "gate"
        artifact = upload_model(aws.client("s3"), GATED.format(gate=str(gate)) + CODE)
        configuration = create_configuration(aws.client("sagemaker"), artifact)
        with pytest.raises(AirflowException, match=f"Endpoint {endpoint} is still Creating"):
            self.deploy(endpoint, configuration, deferrable=deferrable, max_wait=timedelta(seconds=0.1))
        gate.touch()

    @pytest.mark.usefixtures("with_console")
    def test_link_to_the_endpoint(self, aws: Any, served_endpoint: str) -> None:
        context = FakeContext()
        configuration = aws.client("sagemaker").describe_endpoint(EndpointName=served_endpoint)[
            "EndpointConfigName"
        ]
        self.operator(served_endpoint, configuration).execute(context)
        assert context.pushed["sagemaker_endpoint"]["endpoint_name"] == served_endpoint


class ScriptedSageMaker:
    """
    A client of an endpoint that goes through given states: what local AWS can't show.

    :param states: statuses with configurations, one for each look; the last one stays.
    :param errors: messages with which the first changes are refused.
    """

    def __init__(self, *states: tuple[str, str] | None, errors: tuple[str, ...] = ()) -> None:
        self.states = list(states)
        self.errors = list(errors)
        self.serving: dict[str, int] = {}
        self.configured: dict[str, int] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.meta = SimpleNamespace(endpoint_url="http://127.0.0.1")

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise self._error("Could not find endpoint.")
        return {
            "EndpointName": EndpointName,
            "EndpointArn": f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{EndpointName}",
            "EndpointStatus": state[0],
            "EndpointConfigName": state[1],
            "ProductionVariants": [
                {"VariantName": name, "DesiredInstanceCount": count} for name, count in self.serving.items()
            ],
            "FailureReason": "an alarm went off",
            "LastModifiedTime": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        variants = [
            {"VariantName": name, "InitialInstanceCount": count} for name, count in self.configured.items()
        ]
        return {"ProductionVariants": variants}

    def __getattr__(self, operation: str) -> Callable[..., None]:
        if operation.startswith("__"):
            raise AttributeError(operation)

        def change(**arguments: Any) -> None:
            self.calls.append((operation, arguments))
            if self.errors:
                raise self._error(self.errors.pop(0))

        return change

    @staticmethod
    def _error(message: str) -> ClientError:
        return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "any")


def unknown_config(name: str) -> str:
    return f'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:1:endpoint-config/{name}".'


class TestSageMakerDeployEndpointOperatorInScriptedStates:
    @pytest.fixture
    def script(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedSageMaker]:
        def use(*states: Any, **kwargs: Any) -> ScriptedSageMaker:
            client = ScriptedSageMaker(*states, **kwargs)
            monkeypatch.setattr(SageMakerHook, "conn", client)
            connect_triggers(monkeypatch, client)
            return client

        return use

    def operator(self, **kwargs: Any) -> SageMakerDeployEndpointOperator:
        return SageMakerDeployEndpointOperator(
            task_id="deploy",
            config={"EndpointName": "birds", "EndpointConfigName": "new", "Tags": []},
            deferrable=False,
            poll_interval=0.01,
            **kwargs,
        )

    def deploy(self, **kwargs: Any) -> dict[str, Any]:
        return self.operator(**kwargs).execute({})

    def test_rollback_is_waited_for_and_fails_the_task(self, script: Any) -> None:
        script(("InService", "old"), ("Updating", "old"), ("RollingBack", "old"), ("InService", "old"))
        with pytest.raises(
            AirflowException, match=r"old instead of new\. The update was rolled back: an alarm went off"
        ):
            self.deploy()

    @pytest.mark.parametrize("status", ["UpdateRollbackFailed", "OutOfService", "Failed"])
    def test_failed_deployment_fails_with_sagemakers_reason(self, script: Any, status: str) -> None:
        script(("InService", "old"), ("Updating", "old"), (status, "new"))
        with pytest.raises(
            AirflowException, match=f"birds is {status} after the deployment of new: an alarm went off"
        ):
            self.deploy()

    def test_endpoint_with_a_failed_rollback_is_updated_even_to_the_same_configuration(
        self, script: Any
    ) -> None:
        client = script(("UpdateRollbackFailed", "new"), ("Updating", "new"), ("InService", "new"))
        assert self.deploy()["configuration"] == "new"
        assert [operation for operation, _ in client.calls] == ["update_endpoint"]

    def test_endpoint_that_is_deleted_in_the_meantime_is_an_error(self, script: Any) -> None:
        script(("InService", "old"), ("Updating", "old"), None)
        with pytest.raises(AirflowException, match="was deleted while it was being deployed"):
            self.deploy()

    def test_failed_endpoint_that_can_not_be_deleted_is_an_error(self, script: Any) -> None:
        script(("Failed", "old"))
        with pytest.raises(AirflowException, match="can't be deleted to replace it: an alarm went off"):
            self.deploy()

    def test_concurrent_update_is_waited_for(self, script: Any) -> None:
        client = script(
            ("InService", "old"),
            ("Updating", "old"),
            ("InService", "other"),
            ("InService", "other"),
            ("InService", "new"),
            errors=('Cannot update in-progress endpoint "birds".',),
        )
        assert self.deploy()["configuration"] == "new"
        assert [operation for operation, _ in client.calls] == ["update_endpoint", "update_endpoint"]

    def test_creation_with_a_lost_response_is_waited_for(self, script: Any) -> None:
        client = script(
            None,
            ("Creating", "new"),
            ("InService", "new"),
            errors=("Cannot create already existing endpoint.",),
        )
        assert self.deploy()["configuration"] == "new"
        assert [operation for operation, _ in client.calls] == ["create_endpoint"]

    def test_scaling_after_the_update_is_waited_for(self, script: Any) -> None:
        script(
            ("InService", "old"),
            ("Updating", "old"),
            ("InService", "new"),
            ("Updating", "new"),
            ("InService", "new"),
        )
        assert self.deploy()["status"] == "InService"

    def test_repeated_concurrent_changes_end_at_the_deadline(self, script: Any) -> None:
        script(("InService", "old"), errors=("Cannot update in-progress endpoint.",) * 1000)
        with pytest.raises(AirflowException, match="the task timed out"):
            self.deploy(max_wait=0.1)

    def test_other_errors_are_raised(self, script: Any) -> None:
        script(("InService", "old"), errors=("The role is invalid.",))
        with pytest.raises(ClientError, match="The role is invalid"):
            self.deploy()

    @pytest.mark.parametrize(
        ("serving", "configured", "is_excluded"),
        [
            pytest.param({"a": 1}, {"a": 4}, True, id="more are configured"),
            pytest.param({"a": 3}, {"a": 1}, False, id="more are in service"),
            pytest.param({"a": 2}, {"a": 2}, False, id="as many are in service"),
            pytest.param({"a": 1, "b": 3}, {"a": 2, "b": 1}, False, id="another variant would lose some"),
            pytest.param({"a": 1}, {"b": 4}, False, id="another variant"),
        ],
    )
    def test_update_retains_the_instance_count_unless_it_increases(
        self, script: Any, serving: dict[str, int], configured: dict[str, int], is_excluded: bool
    ) -> None:
        client = script(("InService", "old"), ("InService", "new"))
        client.serving, client.configured = serving, configured
        self.deploy()
        [(_, arguments)] = client.calls
        assert arguments["RetainAllVariantProperties"] is True
        assert ("ExcludeRetainedVariantProperties" in arguments) is is_excluded

    @pytest.mark.parametrize(
        ("before", "operation"), [(None, "create_endpoint"), (("InService", "old"), "update_endpoint")]
    )
    def test_call_is_retried_while_the_configuration_propagates(
        self, script: Any, monkeypatch: pytest.MonkeyPatch, before: Any, operation: str
    ) -> None:
        monkeypatch.setattr("amazon_ml.operators.sagemaker_base.PROPAGATION_PAUSE_SECONDS", 0.0)
        client = script(before, ("InService", "new"), errors=(unknown_config("new"),) * 2)
        assert self.deploy()["configuration"] == "new"
        assert [called for called, _ in client.calls] == [operation] * 3

    def test_endpoint_whose_configuration_was_deleted_fails_immediately(self, script: Any) -> None:
        client = script(("InService", "old"), errors=(unknown_config("old"),))
        with pytest.raises(AirflowFailException, match="needs its configuration old, which was deleted"):
            self.deploy()
        assert [operation for operation, _ in client.calls] == ["update_endpoint"]

    def test_missing_configuration_is_an_error(self, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amazon_ml.operators.sagemaker_base.PROPAGATION_SECONDS", 0.0)
        script(("InService", "old"), errors=(unknown_config("new"),))
        with pytest.raises(ClientError, match="Could not find endpoint configuration"):
            self.deploy()

    @pytest.mark.parametrize(
        ("before", "operation"), [(None, "create_endpoint"), (("InService", "old"), "update_endpoint")]
    )
    def test_deployment_config_is_passed_to_sagemaker(self, script: Any, before: Any, operation: str) -> None:
        client = script(before, ("InService", "new"))
        self.deploy(deployment_config={"RollingUpdatePolicy": {"WaitIntervalInSeconds": 60}})
        [(called, arguments)] = client.calls
        assert called == operation
        assert arguments["DeploymentConfig"] == {"RollingUpdatePolicy": {"WaitIntervalInSeconds": 60}}

    def test_change_that_ends_after_the_last_poll_is_accepted(self, script: Any) -> None:
        script(("InService", "new"))
        event = {"status": "timeout", "name": "birds"}
        assert self.operator().execute_complete({}, event)["configuration"] == "new"

    def test_max_wait_starts_with_the_try(self, script: Any) -> None:
        script(("Updating", "old"))
        context = FakeContext()
        context["ti"].start_date -= timedelta(hours=1)
        operator = SageMakerDeployEndpointOperator(
            task_id="deploy",
            config={"EndpointName": "birds", "EndpointConfigName": "new"},
            deferrable=True,
            max_wait=timedelta(minutes=90),
        )
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute(context)
        ends = context["ti"].start_date + timedelta(minutes=90)
        assert deferred.value.trigger.deadline == pytest.approx(ends.timestamp())


class TestSageMakerDeleteEndpointOperator:
    def operator(self, endpoint: str, **kwargs: Any) -> SageMakerDeleteEndpointOperator:
        kwargs = {"deferrable": False, "poll_interval": 0.3, **kwargs}
        return SageMakerDeleteEndpointOperator(task_id="delete", config={"EndpointName": endpoint}, **kwargs)

    def delete(self, endpoint: str) -> Any:
        return finish(lambda: self.operator(endpoint))[0]

    def exists(self, aws: Any, endpoint: str) -> bool:
        found = aws.client("sagemaker").list_endpoints(NameContains=endpoint)["Endpoints"]
        return bool(found)

    def test_template_fields(self) -> None:
        assert "config" in SageMakerDeleteEndpointOperator.template_fields

    @pytest.mark.parametrize("deferrable", DEFERRED)
    def test_endpoint_is_deleted_after_its_creation(
        self, aws: Any, endpoint: str, tmp_path: Path, deferrable: bool
    ) -> None:
        sagemaker, gate = aws.client("sagemaker"), tmp_path / "gate"
        artifact = upload_model(aws.client("s3"), GATED.format(gate=str(gate)) + CODE)
        sagemaker.create_endpoint(
            EndpointName=endpoint, EndpointConfigName=create_configuration(sagemaker, artifact)
        )
        if not deferrable:  # without deferral, nothing happens between two waits
            threading.Timer(1, gate.touch).start()
        result, resumed = finish(
            lambda: self.operator(endpoint, deferrable=deferrable), before_waiting=gate.touch
        )
        assert result == {"name": endpoint}
        assert resumed == (["execute_next", "execute_complete"] if deferrable else [])
        assert not self.exists(aws, endpoint)

    def test_missing_endpoint_is_accepted(self, aws: Any) -> None:
        assert self.delete("no-such-endpoint") == {"name": "no-such-endpoint"}

    def test_endpoint_that_still_exists_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SageMakerHook, "conn", ScriptedSageMaker(("InService", "a"), ("Failed", "a")))
        with pytest.raises(AirflowException, match="birds is Failed after its deletion: an alarm went off"):
            self.delete("birds")

    def test_concurrent_change_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = ScriptedSageMaker(
            ("InService", "a"),
            ("Updating", "a"),
            ("InService", "b"),
            ("InService", "b"),
            None,
            errors=("Cannot update in-progress endpoint.",),
        )
        monkeypatch.setattr(SageMakerHook, "conn", client)
        assert self.delete("birds") == {"name": "birds"}
        assert len(client.calls) == 2

    def test_concurrent_deletion_is_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = ScriptedSageMaker(("InService", "a"), None, errors=("Could not find endpoint.",))
        monkeypatch.setattr(SageMakerHook, "conn", client)
        assert self.delete("birds") == {"name": "birds"}

    def test_other_errors_are_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = ScriptedSageMaker(("InService", "a"), errors=("You may not.",))
        monkeypatch.setattr(SageMakerHook, "conn", client)
        with pytest.raises(ClientError, match="You may not"):
            self.delete("birds")


class TestSageMakerDeleteEndpointConfigOperator:
    def test_template_fields(self) -> None:
        assert "config" in SageMakerDeleteEndpointConfigOperator.template_fields

    def test_resource_is_deleted_and_a_missing_one_is_accepted(self, aws: Any, any_model: str) -> None:
        name = create_configuration(aws.client("sagemaker"), any_model)
        for _ in range(2):
            SageMakerDeleteEndpointConfigOperator(
                task_id="delete", config={"EndpointConfigName": name}
            ).execute({})
            with pytest.raises(ClientError, match="Could not find"):
                aws.client("sagemaker").describe_endpoint_config(EndpointConfigName=name)

    def test_other_errors_are_raised(self, aws: Any) -> None:
        with pytest.raises(ClientError, match="regular expression"):
            SageMakerDeleteEndpointConfigOperator(
                task_id="delete", config={"EndpointConfigName": "no name"}
            ).execute({})


class TestSageMakerDeleteModelIfExistsOperator:
    def test_template_fields(self) -> None:
        assert "config" in SageMakerDeleteModelIfExistsOperator.template_fields

    def test_resource_is_deleted_and_a_missing_one_is_accepted(self, aws: Any, any_model: str) -> None:
        request = model_request(unique("model"), any_model)
        aws.client("sagemaker").create_model(**request)
        for _ in range(2):
            SageMakerDeleteModelIfExistsOperator(
                task_id="delete", config={"ModelName": request["ModelName"]}
            ).execute({})
            with pytest.raises(ClientError, match="Could not find"):
                aws.client("sagemaker").describe_model(ModelName=request["ModelName"])

    def test_other_errors_are_raised(self, aws: Any) -> None:
        with pytest.raises(ClientError, match="regular expression"):
            SageMakerDeleteModelIfExistsOperator(task_id="delete", config={"ModelName": "no name"}).execute(
                {}
            )
