"""Aliases and provisioned concurrency against local AWS, or a stub where local AWS can't respond like Lambda."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from amazon_ml.operators.lambda_alias import (
    LambdaAliasOperator,
    LambdaBaseProvisioningOperator,
    LambdaProvisionedConcurrencyOperator,
)
from botocore.stub import Stubber

from tests.plugins.amazon_ml.operators.deployed_function import answer_of, deploy

ALIAS = {
    "AliasArn": "arn:aws:lambda:us-east-1:123456789012:function:birds:live",
    "FunctionVersion": "3",
}
NOTHING = "ProvisionedConcurrencyConfigNotFoundException"


def run(operator: LambdaBaseProvisioningOperator) -> dict[str, Any]:
    """Run a task to its end, through its triggers if it defers."""
    step, arguments = operator.execute, {}
    while True:
        try:
            return step({}, **arguments)
        except TaskDeferred as deferred:
            step = getattr(operator, deferred.method_name)
            arguments = {"event": asyncio.run(deferred.trigger.wait()), **(deferred.kwargs or {})}


class TestLambdaAliasOperator:
    def operator(self, function: str, version: str, **kwargs: Any) -> LambdaAliasOperator:
        kwargs = {"poll_interval": 0.3, "deferrable": False, **kwargs}
        return LambdaAliasOperator(
            task_id="alias", function_name=function, alias="live", function_version=version, **kwargs
        )

    def move(self, function: str, version: str, **kwargs: Any) -> dict[str, Any]:
        return run(self.operator(function, version, **kwargs))

    def provision(self, client: Any, function: str, count: int = 1) -> None:
        """Provision concurrency for the alias."""
        client.put_provisioned_concurrency_config(
            FunctionName=function, Qualifier="live", ProvisionedConcurrentExecutions=count
        )
        self.await_provisioned(client, function)

    def await_provisioned(self, client: Any, function: str) -> str:
        while True:
            found = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="live")
            if found["Status"] != "IN_PROGRESS":
                return found["Status"]
            time.sleep(0.1)

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "alias", "function_version", "routing_config")
        assert set(LambdaAliasOperator.template_fields) == set(expected)

    def test_alias_is_created_and_updated(self, aws: Any, role: str, function: str) -> None:
        previous = None
        for answer in ("one", "two"):
            version = deploy(function, role, answer)["version"]
            result = self.move(function, version)
            assert (result["version"], result["previous_version"]) == (version, previous)
            assert result["arn"].endswith(f"{function}:live")
            assert answer_of(aws, function, "live") == answer
            previous = version

    def test_weights_are_set_and_removed(self, aws: Any, role: str, function: str) -> None:
        for answer in ("one", "two"):
            deploy(function, role, answer)
        self.move(function, "1", routing_config={"AdditionalVersionWeights": {"2": 1.0}})
        assert answer_of(aws, function, "live") == "two"
        self.move(function, "1")
        assert answer_of(aws, function, "live") == "one"

    def test_alias_that_is_up_to_date_is_not_updated(self, stub: Stubber) -> None:
        stub.add_response("get_alias", ALIAS)
        stub.add_client_error("get_provisioned_concurrency_config", NOTHING)
        assert self.move("birds", "3")["previous_version"] == "3"

    def test_alias_that_is_created_in_the_meantime_is_updated(self, stub: Stubber) -> None:
        stub.add_client_error("get_alias", "ResourceNotFoundException")
        stub.add_client_error("create_alias", "ResourceConflictException")
        stub.add_response("get_alias", ALIAS)
        stub.add_client_error("get_provisioned_concurrency_config", NOTHING)
        stub.add_response("update_alias", ALIAS)
        stub.add_client_error("get_provisioned_concurrency_config", NOTHING)
        assert self.move("birds", "4")["previous_version"] == "3"

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_update_waits_for_provisioned_concurrency(
        self, aws: Any, role: str, function: str, deferrable: bool
    ) -> None:
        client = aws.client("lambda")
        self.move(function, deploy(function, role, "one")["version"])
        self.provision(client, function)
        version = deploy(function, role, "two")["version"]
        result = self.move(function, version, deferrable=deferrable)
        assert (result["version"], result["previous_version"]) == ("2", "1")
        assert "RoutingConfig" not in client.get_alias(FunctionName=function, Name="live")
        assert answer_of(aws, function, "live") == "two"
        assert self.await_provisioned(client, function) == "READY"

    def test_retry_waits_for_the_update_of_an_earlier_try(
        self, aws: Any, role: str, function: str, slow_import: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = aws.client("lambda")
        self.move(function, deploy(function, role, "one")["version"])
        self.provision(client, function)
        version = deploy(function, role, "two", first=slow_import.code)["version"]
        with pytest.raises(TaskDeferred):
            self.operator(function, version, deferrable=True).execute({})
        assert answer_of(aws, function, "live") == "one"
        retry = self.operator(function, version)
        wait = retry.wait

        def finish_and_wait(*args: Any, **kwargs: Any) -> Any:
            slow_import.finish()
            return wait(*args, **kwargs)

        monkeypatch.setattr(retry, "wait", finish_and_wait)
        assert run(retry)["previous_version"] == "2"
        assert answer_of(aws, function, "live") == "two"

    def test_failed_provisioning_is_an_error_and_the_previous_version_stays_live(
        self, aws: Any, role: str, function: str
    ) -> None:
        client = aws.client("lambda")
        self.move(function, deploy(function, role, "one")["version"])
        self.provision(client, function)
        version = deploy(function, role, "two", Handler="missing.handler")["version"]
        with pytest.raises(
            AirflowException,
            match=r"for version 2 of .*:live: FUNCTION_ERROR_INIT_FAILURE\. Traffic still goes to version 1\.",
        ):
            self.move(function, version)
        assert answer_of(aws, function, "live") == "one"
        # Unless the remaining weights are removed, the next update is rejected.
        version = deploy(function, role, "three")["version"]
        assert self.move(function, version)["previous_version"] == "2"
        assert answer_of(aws, function, "live") == "three"

    def test_max_wait_ends_the_wait(self, aws: Any, role: str, function: str, slow_import: Any) -> None:
        client = aws.client("lambda")
        self.move(function, deploy(function, role, "one")["version"])
        self.provision(client, function)
        version = deploy(function, role, "two", first=slow_import.code)["version"]
        with pytest.raises(AirflowException, match=r":live is not ready after -1 s"):
            self.move(function, version, max_wait=-1)

    def test_other_errors_of_an_update_are_raised(self, stub: Stubber) -> None:
        stub.add_response("get_alias", ALIAS)
        stub.add_client_error("get_provisioned_concurrency_config", NOTHING)
        stub.add_client_error("update_alias", "InvalidParameterValueException", "no such thing")
        stub.add_response("get_alias", ALIAS)
        with pytest.raises(stub.client.exceptions.ClientError, match="no such thing"):
            self.move("birds", "4")


class TestLambdaProvisionedConcurrencyOperator:
    def operator(self, function: str, count: int, **kwargs: Any) -> LambdaProvisionedConcurrencyOperator:
        kwargs = {"qualifier": "1", "poll_interval": 0.3, "deferrable": False, **kwargs}
        return LambdaProvisionedConcurrencyOperator(
            task_id="provision",
            function_name=function,
            provisioned_concurrent_executions=count,
            **kwargs,
        )

    def test_template_fields(self) -> None:
        expected = aws_template_fields("function_name", "qualifier")
        assert set(LambdaProvisionedConcurrencyOperator.template_fields) == set(expected)

    def test_concurrency_is_provisioned_and_removed(self, aws: Any, role: str, function: str) -> None:
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

    def test_deferred_task_waits_in_the_trigger(self, aws: Any, role: str, function: str) -> None:
        deploy(function, role, "one")
        operator = self.operator(function, 1, deferrable=True)
        with pytest.raises(TaskDeferred):
            operator.execute({})
        assert run(operator)["provisioned_concurrent_executions"] == 1

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_failed_provisioning_is_an_error_with_its_reason(
        self, aws: Any, role: str, function: str, deferrable: bool
    ) -> None:
        deploy(function, role, "one", Handler="missing.handler")
        operator = self.operator(function, 1, deferrable=deferrable)
        with pytest.raises(AirflowException, match=r":1: FUNCTION_ERROR_INIT_FAILURE"):
            run(operator)

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_max_wait_ends_the_wait(
        self, aws: Any, role: str, function: str, slow_import: Any, deferrable: bool
    ) -> None:
        deploy(function, role, "one", first=slow_import.code)
        operator = self.operator(function, 1, deferrable=deferrable, max_wait=-1)
        with pytest.raises(AirflowException, match=r":1 is not ready after -1 s"):
            run(operator)

    def test_deferred_task_applies_the_execution_timeout(self, stub: Stubber) -> None:
        stub.add_client_error("get_provisioned_concurrency_config", NOTHING)
        stub.add_response("put_provisioned_concurrency_config", {})
        limits = {"max_wait": timedelta(hours=2), "execution_timeout": timedelta(hours=1)}
        begun = time.time()
        with pytest.raises(TaskDeferred) as deferred:
            self.operator("birds", 1, deferrable=True, **limits).execute({})
        assert begun + 3600 <= deferred.value.trigger.deadline <= time.time() + 3600

    def test_equal_number_is_not_set_again(self, stub: Stubber) -> None:
        for _ in range(2):
            found = {"Status": "READY", "RequestedProvisionedConcurrentExecutions": 2}
            stub.add_response("get_provisioned_concurrency_config", found)
        assert run(self.operator("birds", 2))["provisioned_concurrent_executions"] == 2

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_different_number_is_set_after_the_update_of_the_alias(
        self, aws: Any, role: str, function: str, deferrable: bool
    ) -> None:
        client = aws.client("lambda")
        version = deploy(function, role, "one")["version"]
        client.create_alias(FunctionName=function, Name="live", FunctionVersion=version)
        run(self.operator(function, 1, qualifier="live"))
        version = deploy(function, role, "two")["version"]
        client.update_alias(FunctionName=function, Name="live", FunctionVersion=version)
        run(self.operator(function, 2, qualifier="live", deferrable=deferrable))
        found = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="live")
        assert (found["Status"], found["RequestedProvisionedConcurrentExecutions"]) == ("READY", 2)
        assert answer_of(aws, function, "live") == "two"

    def test_weights_of_a_failed_initialization_are_removed_first(self, stub: Stubber) -> None:
        failed = {"Status": "FAILED", "RequestedProvisionedConcurrentExecutions": 1}
        for _ in range(2):
            stub.add_response("get_provisioned_concurrency_config", failed)
        stub.add_response("get_alias", {"RoutingConfig": {"AdditionalVersionWeights": {"3": 1.0}}})
        request = {"FunctionName": "birds", "Name": "live", "RoutingConfig": {"AdditionalVersionWeights": {}}}
        stub.add_response("update_alias", {}, request)
        stub.add_response("put_provisioned_concurrency_config", {})
        with pytest.raises(TaskDeferred):
            self.operator("birds", 1, qualifier="live", deferrable=True).execute({})

    def test_provisioned_concurrency_that_was_removed_is_an_error(self) -> None:
        event = {"status": "error", "reason": f"An error occurred ({NOTHING})"}
        with pytest.raises(AirflowException, match=NOTHING):
            self.operator("birds", 1).execute_complete({}, event)
