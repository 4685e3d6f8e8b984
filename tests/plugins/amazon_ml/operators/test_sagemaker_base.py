"""How SageMaker's errors are read."""

from __future__ import annotations

import pytest
from amazon_ml.operators.sagemaker_base import is_missing
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
def test_every_way_in_which_sagemaker_says_that_something_does_not_exist_is_known(
    code: str, message: str
) -> None:
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
def test_any_other_refusal_does_not_mean_that_it_is_missing(code: str, message: str) -> None:
    assert not is_missing(error(code, message))
