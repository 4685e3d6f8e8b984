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
    """What the trigger fires after these answers of Lambda's, the last of which it gives for ever.

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
    def test_it_is_the_same_after_the_triggerer_was_restarted(self) -> None:
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

    def test_throttling_and_broken_connections_are_waited_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [
            refused("TooManyRequestsException", 429),
            ConnectionClosedError(endpoint_url=URL),
            EndpointConnectionError(endpoint_url=URL),
            refused("ServiceException", 500),
            {"Status": "IN_PROGRESS"},
            {"Status": "READY"},
        ]
        assert event_after(monkeypatch, answers) == {"status": "READY", "reason": ""}

    def test_an_alias_that_still_has_weights_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        weights = [{"1": 1.0}] * 3
        event = event_after(monkeypatch, [{"Status": "READY"}], weights=weights)
        assert event == {"status": "READY", "reason": ""}
        event = event_after(monkeypatch, [{"Status": "READY"}], seconds=0, weights=weights)
        assert event["status"] == "IN_PROGRESS"

    def test_a_version_has_no_weights_to_wait_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert event_after(monkeypatch, [{"Status": "READY"}], qualifier="7")["status"] == "READY"

    def test_a_failure_comes_with_its_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = {"Status": "FAILED", "StatusReason": "no capacity"}
        assert event_after(monkeypatch, [answer]) == {"status": "FAILED", "reason": "no capacity"}

    def test_an_error_that_does_not_pass_is_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        event = event_after(monkeypatch, [refused("ProvisionedConcurrencyConfigNotFoundException", 404)])
        assert event["status"] == "error"
        assert "ProvisionedConcurrencyConfigNotFoundException" in event["reason"]

    @pytest.mark.parametrize("answer", [{"Status": "IN_PROGRESS"}, refused("TooManyRequestsException", 429)])
    def test_when_time_is_up_it_says_so(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
        assert event_after(monkeypatch, [answer], seconds=0.1)["status"] == "IN_PROGRESS"
