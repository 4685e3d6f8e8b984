"""Texts match the patterns and lengths in SageMaker's API description."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from include.local_aws.errors import AwsError
from include.local_aws.service_models import check_request
from include.pipeline import aws_texts

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/sample/1"
TRACEBACK = (
    'Traceback (most recent call last):\n  File "train.py", line 1\r\n\tRuntimeError: \x1b[31mno\x1b[0m'
)
TEXTS = [
    pytest.param(
        TRACEBACK,
        'Traceback (most recent call last): File "train.py", line 1 RuntimeError: [31mno [0m',
        id="traceback",
    ),
    pytest.param("Tells breeds apart.\n", "Tells breeds apart.", id="YAML block"),
    pytest.param("a\u2028b\x85c\x00d", "a b c d", id="Unicode's line breaks"),
    pytest.param("\ufeffdogs\u200band\ud800cats", "dogs and cats", id="invisible characters"),
    pytest.param("x" * 1025, "x" * 1023 + "…", id="too long"),
    pytest.param("x" * 1024, "x" * 1024, id="maximum length"),
    pytest.param("🐕" * 600, "🐕" * 511 + "…", id="emojis, which count as two"),
]


def accepts(operation: str, **members: Any) -> bool:
    try:
        check_request("sagemaker", operation, members)
    except AwsError:
        return False
    return True


@pytest.mark.parametrize(("text", "fitting"), TEXTS)
def test_a_description_is_one_line_of_at_most_1024_characters(text: str, fitting: str) -> None:
    description = aws_texts.description(text)
    assert description == fitting
    assert len(description.encode("utf-16-le")) <= 2 * 1024
    assert accepts("UpdateModelPackage", ModelPackageArn=ARN, ApprovalDescription=description)
    assert accepts("CreateModelPackage", ModelPackageGroupName="g", ModelPackageDescription=description)
    assert accepts(
        "CreateModelPackageGroup", ModelPackageGroupName="g", ModelPackageGroupDescription=description
    )


@pytest.mark.parametrize("value", ["s3://b/k?x=1&y", "a\nb", "Größe 3", "x" * 300, 0.5])
def test_a_property_has_only_characters_that_sagemaker_allows(value: object) -> None:
    fitting = aws_texts.property_value(value)
    assert len(fitting) <= 256
    assert accepts("UpdateModelPackage", ModelPackageArn=ARN, CustomerMetadataProperties={"key": fitting})


def test_the_limits_are_those_of_the_api() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    lengths = {
        name: model.shape_for(name).metadata["max"]
        for name in ("ApprovalDescription", "EntityDescription", "CustomerMetadataValue")
    }
    assert lengths == {
        "ApprovalDescription": aws_texts.LONGEST_DESCRIPTION,
        "EntityDescription": aws_texts.LONGEST_DESCRIPTION,
        "CustomerMetadataValue": aws_texts.LONGEST_VALUE,
    }
