"""Transient AWS errors: which they are, and how long they are retried."""

from __future__ import annotations

import pytest
from amazon_ml.transient_errors import LIMIT_SECONDS, MAX_DELAY_SECONDS, TransientBackoff, is_transient
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)


def answered(code: str, http_status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": http_status}},
        "Describe",
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(answered("ThrottlingException"), True, id="throttled"),
        pytest.param(answered("ModelNotReadyException", 429), True, id="model is starting"),
        pytest.param(answered("ExpiredTokenException"), True, id="credentials expired"),
        pytest.param(answered("Unheard", 503), True, id="any 5xx"),
        pytest.param(ConnectionClosedError(endpoint_url="https://aws"), True, id="connection closed"),
        pytest.param(EndpointConnectionError(endpoint_url="https://aws"), True, id="no connection"),
        pytest.param(ReadTimeoutError(endpoint_url="https://aws"), True, id="no answer"),
        pytest.param(ConnectionResetError(), True, id="connection reset"),
        pytest.param(answered("AccessDeniedException"), False, id="denied"),
        pytest.param(answered("ValidationException"), False, id="invalid"),
        pytest.param(NoCredentialsError(), False, id="no credentials"),
        pytest.param(KeyError("TrainingJobStatus"), False, id="error in the program"),
    ],
)
def test_is_transient(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected


class TestTransientBackoff:
    def test_each_delay_is_twice_as_long_up_to_a_limit(self) -> None:
        backoff = TransientBackoff(10)
        delays = [backoff.next_delay(ConnectionResetError()) for _ in range(6)]
        assert delays == [10, 20, 40, 80, MAX_DELAY_SECONDS, MAX_DELAY_SECONDS]

    def test_a_successful_call_resets_the_delay(self) -> None:
        backoff = TransientBackoff(10)
        backoff.next_delay(ConnectionResetError())
        backoff.reset()
        assert backoff.next_delay(ConnectionResetError()) == 10

    def test_an_error_that_lasts_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter([0, LIMIT_SECONDS - 1, LIMIT_SECONDS])
        monkeypatch.setattr("amazon_ml.transient_errors.time.monotonic", lambda: next(clock))
        backoff = TransientBackoff(10)
        for _ in range(2):
            backoff.next_delay(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            backoff.next_delay(ConnectionResetError())

    def test_a_permanent_error_is_raised_immediately(self) -> None:
        with pytest.raises(ClientError, match="AccessDenied"):
            TransientBackoff(10).next_delay(answered("AccessDeniedException"))
