"""Lambda operators against local AWS, or a stub where local AWS can't fail like Lambda."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException
from amazon_ml.operators.lambda_function import (
    LambdaDeleteFunctionOperator,
    LambdaDeployFunctionOperator,
    LambdaFunctionUrlOperator,
    LambdaReservedConcurrencyOperator,
    is_up_to_date,
)
from botocore.stub import Stubber

from tests.plugins.amazon_ml.operators.deployed_function import answer_of, deploy

ROLE = "arn:aws:iam::123456789012:role/any"
SHA256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of empty content


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

    def test_unchanged_function_publishes_no_version(self, aws: Any, role: str, function: str) -> None:
        assert deploy(function, role, "one") == deploy(function, role, "one")

    def test_removed_variable_is_deleted(self, aws: Any, role: str, function: str) -> None:
        for variables in ({"A": "1", "B": "2"}, {"A": "1"}):
            deploy(function, role, "one", Environment={"Variables": variables})
        found = aws.client("lambda").get_function_configuration(FunctionName=function)
        assert found["Environment"]["Variables"] == {"A": "1"}

    def test_without_publishing_the_version_is_the_latest(self, aws: Any, role: str, function: str) -> None:
        assert deploy(function, role, "one", publish=False)["version"] == "$LATEST"
        versions = aws.client("lambda").list_versions_by_function(FunctionName=function)["Versions"]
        assert [version["Version"] for version in versions] == ["$LATEST"]

    def test_function_that_is_up_to_date_is_not_updated(self, stub: Stubber) -> None:
        stub.add_response("get_function", {"Tags": {}})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Timeout": 9})
        assert self.operator(publish=False).execute({})["code_sha256"] == SHA256

    def test_waits_between_updates_of_code_and_configuration(self, stub: Stubber) -> None:
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

    def test_architecture_is_updated_with_the_code(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Architectures": ["x86_64"]})
        request = {"FunctionName": "birds", "ZipFile": b"", "Architectures": ["arm64"]}
        stub.add_response("update_function_code", {}, request)
        stub.add_response("get_function_configuration", {"Architectures": ["arm64"]})
        self.operator(publish=False, config={"Architectures": ["arm64"]}).execute({})

    def test_failed_update_is_an_error_with_its_reason(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Timeout": 3})
        stub.add_response("update_function_configuration", {})
        stub.add_response(
            "get_function_configuration",
            {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "The subnet is full."},
        )
        with pytest.raises(AirflowException, match=r"could not update birds: The subnet is full\."):
            self.operator(publish=False).execute({})

    def test_code_and_configuration_are_updated_after_a_failed_update(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        as_asked = {"CodeSha256": SHA256, "Timeout": 9}
        stub.add_response("get_function_configuration", {**as_asked, "LastUpdateStatus": "Failed"})
        stub.add_response("update_function_code", {})
        stub.add_response("get_function_configuration", as_asked)
        stub.add_response("update_function_configuration", {})
        stub.add_response("get_function_configuration", as_asked)
        self.operator(publish=False).execute({})

    def test_failed_creation_is_an_error_with_its_reason(self, stub: Stubber) -> None:
        stub.add_client_error("get_function", "ResourceNotFoundException", http_status_code=404)
        stub.add_response("create_function", {})
        stub.add_response(
            "get_function_configuration", {"State": "Failed", "StateReason": "The image is gone."}
        )
        with pytest.raises(AirflowException, match=r"The image is gone\."):
            self.operator(config={"Role": ROLE}).execute({})

    def test_creation_is_retried_while_the_role_propagates(self, stub: Stubber) -> None:
        stub.add_client_error("get_function", "ResourceNotFoundException", http_status_code=404)
        unknown = "The role defined for the function cannot be assumed by Lambda."
        for _ in range(2):
            stub.add_client_error("create_function", "InvalidParameterValueException", unknown)
        stub.add_response("create_function", {})
        stub.add_response("get_function_configuration", {"State": "Active"})
        self.operator(publish=False, config={"Role": ROLE}).execute({})

    def test_other_errors_of_a_creation_are_raised_immediately(self, stub: Stubber) -> None:
        stub.add_client_error("get_function", "ResourceNotFoundException", http_status_code=404)
        stub.add_client_error("create_function", "InvalidParameterValueException", "Timeout is too long.")
        with pytest.raises(stub.client.exceptions.ClientError, match="too long"):
            self.operator(publish=False, config={"Role": ROLE}).execute({})

    def test_waits_until_the_version_can_be_invoked(self, stub: Stubber) -> None:
        stub.add_response("get_function", {"Tags": {}})
        stub.add_response("get_function_configuration", {"CodeSha256": SHA256, "Timeout": 9})
        request = {"FunctionName": "birds", "CodeSha256": SHA256, "Description": "first"}
        stub.add_response("publish_version", {"Version": "7"}, request)
        for state in ("Pending", "Active"):
            request = {"FunctionName": "birds", "Qualifier": "7"}
            stub.add_response("get_function_configuration", {"State": state}, request)
        assert self.operator(description="first").execute({})["version"] == "7"

    def test_max_wait_ends_the_wait_for_an_update(self, stub: Stubber) -> None:
        stub.add_response("get_function", {})
        stub.add_response("get_function_configuration", {"LastUpdateStatus": "InProgress"})
        with pytest.raises(AirflowException, match=r"still being updated after -1 s"):
            self.operator(max_wait=-1).execute({})


class TestLambdaReservedConcurrencyOperator:
    def test_template_fields(self) -> None:
        assert set(LambdaReservedConcurrencyOperator.template_fields) == set(
            aws_template_fields("function_name")
        )

    def test_concurrency_is_reserved_and_released(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one", publish=False)
        for count in (5, 5, 0, None, None):
            result = LambdaReservedConcurrencyOperator(
                task_id="reserve", function_name=function, reserved_concurrent_executions=count
            ).execute({})
            assert result == {"function": function, "reserved_concurrent_executions": count}
            found = aws.client("lambda").get_function_concurrency(FunctionName=function)
            assert found.get("ReservedConcurrentExecutions") == count

    @pytest.mark.parametrize(("reserved", "count"), [(3, 2), (2, 2), (1, 1), (0, 0)])
    def test_provisioned_concurrency_is_reduced_to_fit_the_reservation(
        self, aws: Any, role: str, function: str, reserved: int, count: int
    ) -> None:
        version = deploy(function, role, "one")["version"]
        client = aws.client("lambda")
        client.put_provisioned_concurrency_config(
            FunctionName=function, Qualifier=version, ProvisionedConcurrentExecutions=2
        )
        LambdaReservedConcurrencyOperator(
            task_id="reserve",
            function_name=function,
            reserved_concurrent_executions=reserved,
            provisioned_concurrent_executions={version: min(reserved, 2), "another": 5},
        ).execute({})
        answer = client.get_function_concurrency(FunctionName=function)
        assert answer["ReservedConcurrentExecutions"] == reserved
        configs = client.list_provisioned_concurrency_configs(FunctionName=function)
        found = [
            item["RequestedProvisionedConcurrentExecutions"]
            for item in configs["ProvisionedConcurrencyConfigs"]
        ]
        assert found == [count] * (count > 0)


class TestLambdaFunctionUrlOperator:
    def put(self, function: str, auth_type: str | None, qualifier: str | None = "live") -> dict[str, Any]:
        return LambdaFunctionUrlOperator(
            task_id="url", function_name=function, qualifier=qualifier, auth_type=auth_type
        ).execute({})

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "qualifier")
        assert set(LambdaFunctionUrlOperator.template_fields) == set(expected)

    def test_url_of_an_alias_is_created_kept_and_deleted(self, aws: Any, role: str, function: str) -> None:
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

    def test_missing_function_gets_no_url(self, aws: Any, function: str) -> None:
        with pytest.raises(aws.client("lambda").exceptions.ClientError, match="does not exist"):
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


class TestIsUpToDate:
    @pytest.mark.parametrize(
        ("found", "requested", "expected"),
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
    def test_is_up_to_date(self, found: dict[str, Any], requested: dict[str, Any], expected: bool) -> None:
        assert is_up_to_date(found, requested) is expected
