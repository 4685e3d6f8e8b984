"""A wrong clock is reported before AWS refuses signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import clock
from include.pipeline.clock import ClockError
from tests.conftest import LocalAws


def answer(seconds: float) -> dict[str, Any]:
    """Return an answer of AWS whose time is ahead of this machine's."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}


def refusal(seconds: float, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "x"}, **answer(seconds)}, "GetCallerIdentity")  # type: ignore[typeddict-item]


def fail(error: ClientError) -> Any:
    raise error


@pytest.mark.parametrize(("seconds", "where"), [(600, "behind"), (-600, "ahead of")])
def test_a_clock_that_is_wrong_by_minutes_is_an_error(seconds: float, where: str) -> None:
    with pytest.raises(
        ClockError, match=rf"^The clock of this machine is (599|600|601) s {where} that of AWS"
    ):
        clock.ask(lambda: answer(seconds))


def test_a_refused_signature_is_reported_as_a_wrong_clock() -> None:
    with pytest.raises(ClockError, match="NTP"):
        clock.ask(lambda: fail(refusal(600, "SignatureDoesNotMatch")))


def test_another_refusal_is_raised_unchanged() -> None:
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        clock.ask(lambda: fail(refusal(0, "InvalidClientTokenId")))


def test_a_smaller_difference_is_a_warning() -> None:
    said: list[str] = []
    assert clock.ask(lambda: answer(90), said.append)
    assert "s behind that of AWS. AWS refuses requests signed more than 5 minutes off" in said[0]


def test_an_answer_without_a_date_is_not_checked() -> None:
    assert clock.ask(lambda: {"ResponseMetadata": {}}) == {"ResponseMetadata": {}}


def test_the_answers_of_local_aws_have_a_date(local_aws: LocalAws) -> None:
    said: list[str] = []
    found = clock.ask(local_aws.client("sts").get_caller_identity, said.append)
    assert "date" in found["ResponseMetadata"]["HTTPHeaders"]
    assert said == []
