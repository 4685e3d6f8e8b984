"""Trouble with AWS: what passes by itself, and for how long it is borne."""

from __future__ import annotations

import pytest
from amazon_ml.outage import LIMIT_SECONDS, LONGEST_PAUSE_SECONDS, Outage, is_passing
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
        pytest.param(answered("ModelNotReadyException", 429), True, id="model starts"),
        pytest.param(answered("ExpiredTokenException"), True, id="credentials expired"),
        pytest.param(answered("Unheard", 503), True, id="any 5xx"),
        pytest.param(ConnectionClosedError(endpoint_url="https://aws"), True, id="connection closed"),
        pytest.param(EndpointConnectionError(endpoint_url="https://aws"), True, id="no connection"),
        pytest.param(ReadTimeoutError(endpoint_url="https://aws"), True, id="no answer"),
        pytest.param(ConnectionResetError(), True, id="connection reset"),
        pytest.param(answered("AccessDeniedException"), False, id="denied"),
        pytest.param(answered("ValidationException"), False, id="invalid"),
        pytest.param(NoCredentialsError(), False, id="no credentials"),
        pytest.param(KeyError("TrainingJobStatus"), False, id="a fault of the program"),
    ],
)
def test_what_passes_by_itself(error: Exception, expected: bool) -> None:
    assert is_passing(error) is expected


class TestOutage:
    def test_each_pause_is_twice_as_long_up_to_a_limit(self) -> None:
        outage = Outage(10)
        pauses = [outage.pause(ConnectionResetError()) for _ in range(6)]
        assert pauses == [10, 20, 40, 80, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]

    def test_it_begins_anew_once_aws_has_answered(self) -> None:
        outage = Outage(10)
        outage.pause(ConnectionResetError())
        outage.over()
        assert outage.pause(ConnectionResetError()) == 10

    def test_trouble_that_lasts_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter([0, LIMIT_SECONDS - 1, LIMIT_SECONDS])
        monkeypatch.setattr("amazon_ml.outage.time.monotonic", lambda: next(clock))
        outage = Outage(10)
        for _ in range(2):
            outage.pause(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            outage.pause(ConnectionResetError())

    def test_trouble_that_does_not_pass_is_raised_at_once(self) -> None:
        with pytest.raises(ClientError, match="AccessDenied"):
            Outage(10).pause(answered("AccessDeniedException"))
