"""The interpretation of SageMaker's errors."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
from amazon_ml.operators import sagemaker_base
from amazon_ml.operators.sagemaker_base import ROLE_NOT_PROPAGATED, call_until_propagated, is_missing
from botocore.exceptions import ClientError

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"


def error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Describe")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("ValidationException", "Requested resource not found.", id="training job"),
        pytest.param(
            "ValidationException",
            "Could not find requested job with name: sample-features-1",
            id="processing job",
        ),
        pytest.param(
            "ResourceNotFound",
            "Amazon SageMaker can't find a tuning job called sample-tune-1. Type another name.",
            id="tuning job",
        ),
        pytest.param("ValidationException", f'Could not find model "{ARN}model/m".', id="model"),
        pytest.param("ValidationException", f'Could not find endpoint "{ARN}endpoint/e".', id="endpoint"),
        pytest.param(
            "ValidationException",
            f'Could not find endpoint configuration "{ARN}endpoint-config/c".',
            id="endpoint configuration",
        ),
        pytest.param("ValidationException", "RecordNotFound", id="notebook instance"),
        pytest.param(
            "ValidationException",
            f"Unable to describe Notebook Instance Lifecycle Config '{ARN}notebook-instance-lifecycle-config/l'. "
            "(Details: Notebook Instance Lifecycle Config does not exist.)",
            id="lifecycle configuration",
        ),
    ],
)
def test_is_missing(code: str, message: str) -> None:
    assert is_missing(error(code, message))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param(
            "ValidationException", f'Cannot update in-progress endpoint "{ARN}endpoint/e".', id="busy"
        ),
        pytest.param("ValidationException", "Could not assume role arn:aws:iam::1:role/r.", id="role"),
        pytest.param("AccessDeniedException", "Requested resource not found.", id="another code"),
        pytest.param("ResourceInUse", "Job name must be unique", id="taken"),
    ],
)
def test_other_errors_are_not_missing(code: str, message: str) -> None:
    assert not is_missing(error(code, message))


EARLY = [
    pytest.param(
        "Could not assume role arn:aws:iam::1:role/r. Please ensure that the role exists.", id="role"
    ),
    pytest.param("Access denied for repository: pytorch-training in registry ID: 763104351884.", id="rights"),
]


class Sagemaker:
    """A client whose method fails a number of times and then succeeds."""

    def __init__(self, refusal: ClientError, times: float) -> None:
        self.refusal, self.times, self.calls = refusal, times, 0

    def create(self, **request: Any) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self.times:
            raise self.refusal
        return request


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by the pause at each reading."""
    ticks = itertools.count(step=sagemaker_base.PROPAGATION_PAUSE_SECONDS)
    monkeypatch.setattr(sagemaker_base.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(sagemaker_base.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("message", EARLY)
def test_call_is_retried_while_the_role_propagates(clock: None, message: str) -> None:
    sagemaker = Sagemaker(error("ValidationException", message), times=3)
    assert call_until_propagated(
        logging.getLogger(), sagemaker.create, {"Name": "n"}, *ROLE_NOT_PROPAGATED
    ) == {"Name": "n"}
    assert sagemaker.calls == 4


@pytest.mark.parametrize("message", EARLY)
def test_unknown_role_is_raised_after_two_minutes(clock: None, message: str) -> None:
    sagemaker = Sagemaker(error("ValidationException", message), times=float("inf"))
    with pytest.raises(ClientError):
        call_until_propagated(logging.getLogger(), sagemaker.create, {}, *ROLE_NOT_PROPAGATED)
    assert sagemaker.calls == 120 / sagemaker_base.PROPAGATION_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("AccessDeniedException", "Access denied", id="another code"),
        pytest.param(
            "ValidationException", 'No S3 objects found under S3 URL "s3://b/k".', id="another text"
        ),
    ],
)
def test_other_errors_are_raised_immediately(clock: None, code: str, message: str) -> None:
    sagemaker = Sagemaker(error(code, message), times=float("inf"))
    with pytest.raises(ClientError):
        call_until_propagated(logging.getLogger(), sagemaker.create, {}, *ROLE_NOT_PROPAGATED)
    assert sagemaker.calls == 1
