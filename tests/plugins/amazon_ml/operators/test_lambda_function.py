"""Lambda operators against local AWS; a stub where that can't fail as Lambda does."""

from __future__ import annotations

import asyncio
import io
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from amazon_ml.operators.lambda_function import (
    LambdaAliasOperator,
    LambdaDeleteFunctionOperator,
    LambdaDeployFunctionOperator,
    LambdaFunctionUrlOperator,
    LambdaProvisionedConcurrencyOperator,
    LambdaPublishVersionOperator,
    LambdaReservedConcurrencyOperator,
    is_as_asked,
)
from botocore.stub import Stubber

ROLE = "arn:aws:iam::123456789012:role/any"
SHA256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of nothing


def zipped(answer: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # a fixed date, so that equal code is equal bytes
        archive.writestr(
            zipfile.ZipInfo("app.py", (2026, 1, 1, 0, 0, 0)),
            f"def handler(event, context): return {answer!r}\n",
        )
    return file.getvalue()


@pytest.fixture
def role(aws: Any) -> Iterator[str]:
    """A role that Lambda may assume."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam, name = aws.client("iam"), f"function-{uuid.uuid4().hex[:8]}"
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    yield iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.delete_role(RoleName=name)


@pytest.fixture
def function(aws: Any) -> Iterator[str]:
    name, client = f"function-{uuid.uuid4().hex[:8]}", aws.client("lambda")
    yield name
    with suppress(client.exceptions.ResourceNotFoundException):  # where the test has deleted it
        client.delete_function(FunctionName=name)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Answers of Lambda's that local AWS does not give; each is asked for once, in this order."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = LambdaHook(aws_conn_id=None).conn
    monkeypatch.setattr(LambdaHook, "conn", client)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def deploy(function: str, role: str, answer: str, publish: bool = True, **config: Any) -> dict[str, str]:
    config = {
        "Runtime": "python3.12",
        "Role": role,
        "Handler": "app.handler",
        "MemorySize": 128,
        "Timeout": 300,
        "Tags": {"project": "birds"},
        **config,
    }
    return LambdaDeployFunctionOperator(
        task_id="deploy",
        function_name=function,
        config=config,
        zip_file=lambda: zipped(answer),
        publish=publish,
        poll_interval=0.1,
    ).execute({})


def answer_of(aws: Any, function: str, qualifier: str) -> Any:
    return json.load(aws.client("lambda").invoke(FunctionName=function, Qualifier=qualifier)["Payload"])


class TestLambdaDeployFunctionOperator:
    def operator(self, **kwargs: Any) -> LambdaDeployFunctionOperator:
        kwargs = {"config": {"Timeout": 9}, "zip_file": b"", "poll_interval": 0, **kwargs}
        return LambdaDeployFunctionOperator(task_id="deploy", function_name="birds", **kwargs)

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "config", "description")
        assert set(LambdaDeployFunctionOperator.template_fields) == set(expected)

    def test_code_and_configuration_are_created_updated_and_published(
        self, aws: Any, role: str, function: str
    ) -> None:
        first = deploy(function, role, "one", EphemeralStorage={"Size": 1024})
        second = deploy(function, role, "two", MemorySize=256, Timeout=9, Tags={"owner": "me"})
        assert [(each["function"], each["version"]) for each in (first, second)] == [
            (function, "1"),
            (function, "2"),
        ]
        client = aws.client("lambda")
        for result, answer, memory in ((first, "one", 128), (second, "two", 256)):
            assert answer_of(aws, function, result["version"]) == answer
            configuration = client.get_function_configuration(
                FunctionName=function, Qualifier=result["version"]
            )
            assert configuration["MemorySize"] == memory
            assert configuration["CodeSha256"] == result["code_sha256"]
            assert configuration["EphemeralStorage"]["Size"] == 1024
        assert client.get_function(FunctionName=function)["Tags"] == {"project": "birds", "owner": "me"}

    def test_nothing_changed_publishes_no_version(self, aws: Any, role: str, function: str) -> None:
        assert deploy(function, role, "one") == deploy(function, role, "one")

    def test_a_variable_taken_away_is_gone(self, aws: Any, role: str, function: str) -> None:
        for variables in ({"A": "1", "B": "2"}, {"A": "1"}):
            deploy(function, role, "one", Environment={"Variables": variables})
        found = aws.client("lambda").get_function_configuration(FunctionName=function)
        assert found["Environment"]["Variables"] == {"A": "1"}

    def test_without_publishing_the_version_is_the_latest(self, aws: Any, role: str, function: str) -> None:
        assert deploy(function, role, "one", publish=False)["version"] == "$LATEST"
        versions = aws.client("lambda").list_versions_by_function(FunctionName=function)["Versions"]
        assert [version["Version"] for version in versions] == ["$LATEST"]

    def test_what_is_as_asked_is_not_updated(self, stub: Stubber) -> None:
        stub.add_response("get_function", {"Tags": {}})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Timeout": 9})
        assert self.operator(publish=False).execute({})["code_sha256"] == SHA256

    def test_it_waits_between_code_and_configuration(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        for status in ("InProgress", "Successful"):
            stub.add_response(
                "get_function_configuration",
                {"CodeSha256": "old", "Timeout": 3, "LastUpdateStatus": status},
            )
        stub.add_response("update_function_code", {}, {"FunctionName": "birds", "ZipFile": b""})
        for status in ("InProgress", "Successful"):
            stub.add_response(
                "get_function_configuration",
                {"CodeSha256": SHA256, "Timeout": 3, "LastUpdateStatus": status},
            )
        stub.add_response("update_function_configuration", {}, {"FunctionName": "birds", "Timeout": 9})
        stub.add_response("get_function_configuration", {"LastUpdateStatus": "Successful"})
        self.operator(publish=False).execute({})

    def test_the_architecture_goes_with_the_code(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Architectures": ["x86_64"]})
        request = {"FunctionName": "birds", "ZipFile": b"", "Architectures": ["arm64"]}
        stub.add_response("update_function_code", {}, request)
        stub.add_response("get_function_configuration", {"Architectures": ["arm64"]})
        self.operator(publish=False, config={"Architectures": ["arm64"]}).execute({})

    def test_a_failed_update_is_an_error_with_its_reason(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Timeout": 3})
        stub.add_response("update_function_configuration", {})
        stub.add_response(
            "get_function_configuration",
            {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "The subnet is full."},
        )
        with pytest.raises(AirflowException, match=r"could not update birds: The subnet is full\."):
            self.operator(publish=False).execute({})

    def test_after_a_failed_update_all_is_done_again(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        as_asked = {"CodeSha256": SHA256, "Timeout": 9}
        stub.add_response("get_function_configuration", {**as_asked, "LastUpdateStatus": "Failed"})
        stub.add_response("update_function_code", {})
        stub.add_response("get_function_configuration", as_asked)
        stub.add_response("update_function_configuration", {})
        stub.add_response("get_function_configuration", as_asked)
        self.operator(publish=False).execute({})

    def test_a_function_that_can_not_be_created_is_an_error_with_its_reason(self, stub: Stubber) -> None:
        stub.add_client_error("get_function", "ResourceNotFoundException", http_status_code=404)
        stub.add_response("create_function", {})
        stub.add_response(
            "get_function_configuration", {"State": "Failed", "StateReason": "The image is gone."}
        )
        with pytest.raises(AirflowException, match=r"The image is gone\."):
            self.operator(config={"Role": ROLE}).execute({})

    def test_an_update_that_does_not_end_is_given_up(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        stub.add_response("get_function_configuration", {"LastUpdateStatus": "InProgress"})
        with pytest.raises(AirflowException, match=r"still being updated after -1 s"):
            self.operator(max_wait=-1).execute({})


class TestLambdaPublishVersionOperator:
    def operator(self, function: str, **kwargs: Any) -> LambdaPublishVersionOperator:
        return LambdaPublishVersionOperator(
            task_id="publish", function_name=function, poll_interval=0, **kwargs
        )

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "code_sha256", "description")
        assert set(LambdaPublishVersionOperator.template_fields) == set(expected)

    def test_a_version_is_published_once(self, aws: Any, role: str, function: str) -> None:
        sha256 = deploy(function, role, "one", publish=False)["code_sha256"]
        for _ in range(2):
            result = self.operator(function, description="first").execute({})
            assert result == {"function": function, "version": "1", "code_sha256": sha256}
        found = aws.client("lambda").get_function_configuration(FunctionName=function, Qualifier="1")
        assert found["Description"] == "first"

    def test_other_code_than_expected_is_not_published(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one", publish=False)
        with pytest.raises(AirflowException, match="somebody else has deployed it"):
            self.operator(function, code_sha256=SHA256).execute({})

    def test_it_waits_until_the_version_can_be_invoked(self, stub: Stubber) -> None:
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256})
        request = {"FunctionName": "birds", "CodeSha256": SHA256, "Description": ""}
        stub.add_response("publish_version", {"Version": "7"}, request)
        for state in ("Pending", "Active"):
            request = {"FunctionName": "birds", "Qualifier": "7"}
            stub.add_response("get_function_configuration", {"State": state}, request)
        assert self.operator("birds").execute({})["version"] == "7"


class TestLambdaAliasOperator:
    def move(self, function: str, version: str, **kwargs: Any) -> dict[str, Any]:
        return LambdaAliasOperator(
            task_id="alias", function_name=function, alias="live", function_version=version, **kwargs
        ).execute({})

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "alias", "function_version", "routing_config")
        assert set(LambdaAliasOperator.template_fields) == set(expected)

    def test_an_alias_is_created_and_moved(self, aws: Any, role: str, function: str) -> None:
        previous = None
        for answer in ("one", "two"):
            version = deploy(function, role, answer)["version"]
            result = self.move(function, version)
            assert (result["version"], result["previous_version"]) == (version, previous)
            assert result["arn"].endswith(f"{function}:live")
            assert answer_of(aws, function, "live") == answer
            previous = version

    def test_calls_are_shared_until_the_weights_are_taken_away(
        self, aws: Any, role: str, function: str
    ) -> None:
        for answer in ("one", "two"):
            deploy(function, role, answer)
        self.move(function, "1", routing_config={"AdditionalVersionWeights": {"2": 1.0}})
        assert answer_of(aws, function, "live") == "two"
        self.move(function, "1")
        assert answer_of(aws, function, "live") == "one"

    def test_an_alias_that_is_as_asked_is_not_moved(self, stub: Stubber) -> None:
        stub.add_response(
            "get_alias",
            {"AliasArn": "arn:aws:lambda:us-east-1:123456789012:function:a:live", "FunctionVersion": "3"},
        )
        assert self.move("birds", "3")["previous_version"] == "3"


def run(operator: LambdaProvisionedConcurrencyOperator) -> dict[str, Any]:
    """Run a task to its end, through its trigger if it defers."""
    try:
        return operator.execute({})
    except TaskDeferred as deferred:
        return operator.execute_complete({}, asyncio.run(deferred.trigger.wait()))


class TestLambdaProvisionedConcurrencyOperator:
    def operator(self, function: str, count: int, **kwargs: Any) -> LambdaProvisionedConcurrencyOperator:
        kwargs = {"qualifier": "1", "poll_interval": 0.1, "deferrable": False, **kwargs}
        return LambdaProvisionedConcurrencyOperator(
            task_id="provision",
            function_name=function,
            provisioned_concurrent_executions=count,
            **kwargs,
        )

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "qualifier")
        assert set(LambdaProvisionedConcurrencyOperator.template_fields) == set(expected)

    def test_environments_are_warmed_and_removed(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one")
        client = aws.client("lambda")
        for count in (1, 1, 0, 0):
            result = self.operator(function, count).execute({})
            assert result == {
                "function": function,
                "qualifier": "1",
                "provisioned_concurrent_executions": count,
            }
            configs = client.list_provisioned_concurrency_configs(FunctionName=function)
            assert len(configs["ProvisionedConcurrencyConfigs"]) == count
        with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
            client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="1")

    def test_deferred_it_waits_in_the_trigger(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one")
        operator = self.operator(function, 1, deferrable=True)
        with pytest.raises(TaskDeferred):
            operator.execute({})
        assert run(operator)["provisioned_concurrent_executions"] == 1

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_what_can_not_be_provisioned_is_an_error_with_its_reason(
        self, aws: Any, role: str, function: str, deferrable: bool
    ) -> None:
        deploy(function, role, "one", Handler="missing.handler")
        operator = self.operator(function, 1, deferrable=deferrable)
        with pytest.raises(AirflowException, match=r":1: FUNCTION_ERROR_INIT_FAILURE"):
            run(operator)

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_after_max_wait_it_gives_up(self, aws: Any, role: str, function: str, deferrable: bool) -> None:
        deploy(function, role, "one")
        operator = self.operator(function, 1, deferrable=deferrable, max_wait=-1)
        with pytest.raises(AirflowException, match=r":1 is not ready after -1 s"):
            run(operator)

    def test_deferred_it_heeds_the_execution_timeout(self, stub: Stubber) -> None:
        stub.add_response("put_provisioned_concurrency_config", {})
        limits = {"max_wait": timedelta(hours=2), "execution_timeout": timedelta(hours=1)}
        begun = time.time()
        with pytest.raises(TaskDeferred) as deferred:
            self.operator("birds", 1, deferrable=True, **limits).execute({})
        assert begun + 3600 <= deferred.value.trigger.deadline <= time.time() + 3600

    def test_what_somebody_removed_meanwhile_is_an_error(self, stub: Stubber) -> None:
        stub.add_response("put_provisioned_concurrency_config", {})
        stub.add_client_error(
            "get_provisioned_concurrency_config", "ProvisionedConcurrencyConfigNotFoundException"
        )
        with pytest.raises(AirflowException, match="ProvisionedConcurrencyConfigNotFoundException"):
            self.operator("birds", 1).execute({})


class TestLambdaReservedConcurrencyOperator:
    def test_template_fields(self) -> None:
        assert set(LambdaReservedConcurrencyOperator.template_fields) == set(
            aws_template_fields("function_name")
        )

    def test_concurrency_is_reserved_and_given_back(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one", publish=False)
        for count in (5, 5, 0, None, None):
            result = LambdaReservedConcurrencyOperator(
                task_id="reserve", function_name=function, reserved_concurrent_executions=count
            ).execute({})
            assert result == {"function": function, "reserved_concurrent_executions": count}
            found = aws.client("lambda").get_function_concurrency(FunctionName=function)
            assert found.get("ReservedConcurrentExecutions") == count


class TestLambdaFunctionUrlOperator:
    def put(self, function: str, auth_type: str | None, qualifier: str | None = "live") -> dict[str, Any]:
        return LambdaFunctionUrlOperator(
            task_id="url", function_name=function, qualifier=qualifier, auth_type=auth_type
        ).execute({})

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "qualifier")
        assert set(LambdaFunctionUrlOperator.template_fields) == set(expected)

    def test_an_alias_gets_an_address_keeps_it_and_loses_it(self, aws: Any, role: str, function: str) -> None:
        version = deploy(function, role, "one")["version"]
        client = aws.client("lambda")
        client.create_alias(FunctionName=function, Name="live", FunctionVersion=version)
        first = self.put(function, "AWS_IAM")
        assert first["url"].startswith("http")
        assert self.put(function, "AWS_IAM") == first
        found = client.get_function_url_config(FunctionName=function, Qualifier="live")
        assert (found["AuthType"], found["FunctionUrl"]) == ("AWS_IAM", first["url"])
        for _ in range(2):
            assert self.put(function, None) == {"function": function, "qualifier": "live", "url": None}
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_function_url_config(FunctionName=function, Qualifier="live")

    def test_a_function_that_is_not_there_gets_none(self, aws: Any, function: str) -> None:
        with pytest.raises(aws.client("lambda").exceptions.ClientError, match="not found"):
            self.put(function, "AWS_IAM", qualifier=None)


class TestLambdaDeleteFunctionOperator:
    def delete(self, function: str, qualifier: str | None = None) -> dict[str, Any]:
        return LambdaDeleteFunctionOperator(
            task_id="delete", function_name=function, qualifier=qualifier
        ).execute({})

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "qualifier")
        assert set(LambdaDeleteFunctionOperator.template_fields) == set(expected)

    def test_a_function_is_deleted_once(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one")
        assert self.delete(function) == {"function": function, "qualifier": None, "deleted": True}
        assert self.delete(function)["deleted"] is False

    def test_a_version_is_deleted_alone(self, aws: Any, role: str, function: str) -> None:
        for answer in ("one", "two"):
            deploy(function, role, answer)
        assert self.delete(function, "1")["deleted"] is True
        assert answer_of(aws, function, "2") == "two"


class TestIsAsAsked:
    @pytest.mark.parametrize(
        ("found", "asked", "expected"),
        [
            ({"MemorySize": 128, "Timeout": 3}, {"MemorySize": 128}, True),
            ({"MemorySize": 128}, {"MemorySize": 256}, False),
            ({"Layers": [{"Arn": "a", "CodeSize": 1}]}, {"Layers": ["a"]}, True),
            ({"Layers": [{"Arn": "a", "CodeSize": 1}]}, {"Layers": []}, False),
            ({}, {"Layers": []}, True),
            (
                {"VpcConfig": {"VpcId": "v", "SubnetIds": ["s"], "SecurityGroupIds": []}},
                {"VpcConfig": {"SubnetIds": ["s"]}},
                True,
            ),
            (
                {"ImageConfigResponse": {"ImageConfig": {"Command": ["a"]}}},
                {"ImageConfig": {"Command": ["b"]}},
                False,
            ),
            ({}, {"Environment": {}}, True),
            ({"Environment": {"Variables": {"A": "1"}}}, {"Environment": {"Variables": {}}}, False),
            ({"Environment": {"Variables": {"A": "1"}}}, {"Timeout": 3}, False),
        ],
    )
    def test_lambdas_description_is_compared_with_the_request(
        self, found: dict[str, Any], asked: dict[str, Any], expected: bool
    ) -> None:
        assert is_as_asked(found, asked) is expected
