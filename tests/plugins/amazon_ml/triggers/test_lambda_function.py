"""The trigger for provisioned concurrency; Lambda is a stand-in that throttles and breaks connections."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from amazon_ml.triggers.lambda_function import LambdaProvisionedConcurrencyTrigger
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

URL = "https://lambda.us-east-1.amazonaws.com"


def refused(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetProvisionedConcurrencyConfig",
    )


def event_after(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Any],
    seconds: float = 600,
    weights: list[dict[str, float]] | None = None,
    qualifier: str = "live",
) -> dict[str, Any]:
    """Return the event of the trigger after these responses of Lambda, of which the last one is repeated.

    :param weights: those of the alias, each time that it is looked at; then it has none.
    """
    weights = list(weights or [])

    class Client:
        async def get_provisioned_concurrency_config(self, **_: str) -> dict[str, str]:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def get_alias(self, **_: str) -> dict[str, Any]:
            assert qualifier == "live", "A version has no weights."
            return {"RoutingConfig": {"AdditionalVersionWeights": weights.pop(0)}} if weights else {}

    @asynccontextmanager
    async def connected() -> Any:
        yield Client()

    async def get_async_conn(_: LambdaHook) -> Any:
        return connected()

    monkeypatch.setattr(LambdaHook, "get_async_conn", get_async_conn)
    trigger = LambdaProvisionedConcurrencyTrigger(
        function_name="birds", qualifier=qualifier, deadline=time.time() + seconds, poll_interval=0.01
    )
    payload: dict[str, Any] = asyncio.run(trigger.wait())
    return payload


class TestLambdaProvisionedConcurrencyTrigger:
    def test_serialization(self) -> None:
        arguments = {
            "function_name": "birds",
            "qualifier": "live",
            "deadline": 1_800_000_000.0,
            "poll_interval": 5,
            "aws_conn_id": "mine",
            "region_name": "eu-west-1",
            "verify": False,
            "botocore_config": {"read_timeout": 10},
        }
        path = "amazon_ml.triggers.lambda_function.LambdaProvisionedConcurrencyTrigger"
        assert LambdaProvisionedConcurrencyTrigger(**arguments).serialize() == (path, arguments)

    def test_throttling_and_broken_connections_are_retried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [
            refused("TooManyRequestsException", 429),
            ConnectionClosedError(endpoint_url=URL),
            EndpointConnectionError(endpoint_url=URL),
            refused("ServiceException", 500),
            {"Status": "IN_PROGRESS"},
            {"Status": "READY"},
        ]
        assert event_after(monkeypatch, answers) == {"status": "READY", "reason": ""}

    def test_alias_with_weights_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        weights = [{"1": 1.0}] * 3
        event = event_after(monkeypatch, [{"Status": "READY"}], weights=weights)
        assert event == {"status": "READY", "reason": ""}
        event = event_after(monkeypatch, [{"Status": "READY"}], seconds=0, weights=weights)
        assert event["status"] == "IN_PROGRESS"

    def test_version_has_no_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert event_after(monkeypatch, [{"Status": "READY"}], qualifier="7")["status"] == "READY"

    def test_failure_has_its_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = {"Status": "FAILED", "StatusReason": "no capacity"}
        assert event_after(monkeypatch, [answer]) == {"status": "FAILED", "reason": "no capacity"}

    def test_permanent_error_is_reported_immediately(self, monkeypatch: pytest.MonkeyPatch) -> None:
        event = event_after(monkeypatch, [refused("ProvisionedConcurrencyConfigNotFoundException", 404)])
        assert event["status"] == "error"
        assert "ProvisionedConcurrencyConfigNotFoundException" in event["reason"]

    @pytest.mark.parametrize("answer", [{"Status": "IN_PROGRESS"}, refused("TooManyRequestsException", 429)])
    def test_deadline_ends_the_wait(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
        assert event_after(monkeypatch, [answer], seconds=0.1)["status"] == "IN_PROGRESS"
