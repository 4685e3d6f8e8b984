"""The link to a function in the AWS console."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amazon_ml.links.lambda_function import LambdaFunctionLink
from amazon_ml.operators.lambda_function import LambdaReservedConcurrencyOperator


class TestLambdaFunctionLink:
    def test_task_stores_its_function_for_the_link(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        pushed: dict[str, Any] = {}
        operator = LambdaReservedConcurrencyOperator(
            task_id="reserve", function_name="birds", reserved_concurrent_executions=1
        )
        task_instance = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
        operator.persist_link({"ti": task_instance})  # type: ignore[typeddict-item]
        assert LambdaFunctionLink().format_link(**pushed["lambda_function"]) == (
            "https://console.aws.amazon.com/lambda/home?region=us-east-1#/functions/birds?tab=code"
        )
