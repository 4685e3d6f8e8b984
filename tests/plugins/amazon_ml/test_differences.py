"""Requests are compared with SageMaker's descriptions; members that SageMaker adds are ignored."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from amazon_ml import differences as module

URL = "s3://bucket/model.tar.gz"
MODEL: dict[str, Any] = {
    "ModelName": "birds",
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/any",
    "PrimaryContainer": {"Image": "image", "ModelDataUrl": URL, "Environment": {"A": "1", "B": "2"}},
    "Tags": [{"Key": "project", "Value": "birds"}],
}
DESCRIBED_MODEL: dict[str, Any] = {
    "ModelName": "birds",
    "PrimaryContainer": {
        "Image": "image",
        "Mode": "SingleModel",
        "ModelDataUrl": URL,
        "ModelDataSource": {
            "S3DataSource": {
                "S3Uri": URL,
                "S3DataType": "S3Object",
                "CompressionType": "Gzip",
                "ETag": '"1234"',
            }
        },
        "Environment": {"B": "2", "A": "1"},
    },
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/any",
    "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
    "ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/birds",
    "EnableNetworkIsolation": False,
    "DeploymentRecommendation": {"RecommendationStatus": "COMPLETED", "RealTimeInferenceRecommendations": []},
    "ResponseMetadata": {"HTTPStatusCode": 200},
}
CONFIG: dict[str, Any] = {
    "EndpointConfigName": "birds",
    "ProductionVariants": [
        {"VariantName": "one", "ModelName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
        {
            "VariantName": "two",
            "ModelName": "b",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 0.1,
        },
    ],
    "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
}
DESCRIBED_CONFIG: dict[str, Any] = {
    "EndpointConfigName": "birds",
    "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/birds",
    "ProductionVariants": [
        {
            "VariantName": "two",
            "ModelName": "b",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 0.10000000149011612,
        },
        {
            "VariantName": "one",
            "ModelName": "a",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1.0,
            "VolumeSizeInGB": 30,
        },
    ],
    "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-2", "subnet-1"]},
    "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
    "EnableNetworkIsolation": False,
}


def differences(asked: dict[str, Any], found: dict[str, Any]) -> list[str]:
    name_key = "ModelName" if "ModelName" in asked else "EndpointConfigName"
    return module.differences(asked, found, name_key=name_key)


def changed(document: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """Return a copy with one member changed."""
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return document


def test_members_that_sagemaker_adds_to_a_model_are_ignored() -> None:
    assert differences(MODEL, DESCRIBED_MODEL) == []


def test_members_that_sagemaker_adds_to_an_endpoint_configuration_are_ignored() -> None:
    assert differences(CONFIG, DESCRIBED_CONFIG) == []


@pytest.mark.parametrize("key", ["_tuning_objective_metric", "_another_of_sagemakers"])
def test_keys_that_sagemaker_adds_to_a_map_are_ignored(key: str) -> None:
    asked, found = {"StaticHyperParameters": {"lr": "1"}}, {"StaticHyperParameters": {"lr": "1", key: "x"}}
    assert differences(asked, found) == []
    assert differences(found, asked) == [f"StaticHyperParameters.{key}: requested 'x', found nothing"]


def test_explicit_default_is_equal_to_an_omitted_one() -> None:
    asked = changed(MODEL, "EnableNetworkIsolation", to=False)
    assert differences(asked, changed(DESCRIBED_MODEL, "EnableNetworkIsolation", to=None)) == []


def test_model_data_source_is_equal_to_the_url_of_the_same_archive() -> None:
    asked = changed(
        MODEL,
        "PrimaryContainer",
        to={
            "Image": "image",
            "Environment": {"A": "1", "B": "2"},
            "ModelDataSource": {
                "S3DataSource": {"S3Uri": URL, "S3DataType": "S3Object", "CompressionType": "Gzip"}
            },
        },
    )
    assert differences(asked, DESCRIBED_MODEL) == []


@pytest.mark.parametrize(
    ("asked", "found", "sentence"),
    [
        pytest.param(
            changed(MODEL, "PrimaryContainer", "Image", to="other"),
            DESCRIBED_MODEL,
            "PrimaryContainer.Image: requested 'other', found 'image'",
            id="a value",
        ),
        pytest.param(
            changed(MODEL, "PrimaryContainer", "ModelDataUrl", to="s3://bucket/other.tar.gz"),
            DESCRIBED_MODEL,
            f"PrimaryContainer.ModelDataUrl: requested 's3://bucket/other.tar.gz', found '{URL}'",
            id="the artifact",
        ),
        pytest.param(
            changed(MODEL, "PrimaryContainer", "Environment", to={"A": "1"}),
            DESCRIBED_MODEL,
            "PrimaryContainer.Environment.B: requested nothing, found '2'",
            id="an extra variable",
        ),
        pytest.param(
            changed(MODEL, "PrimaryContainer", "Environment", "Mode", to="SingleModel"),
            DESCRIBED_MODEL,
            "PrimaryContainer.Environment.Mode: requested 'SingleModel', found nothing",
            id="a variable named as a member with a default",
        ),
        pytest.param(
            MODEL,
            changed(DESCRIBED_MODEL, "PrimaryContainer", "Environment", "ETag", to="3"),
            "PrimaryContainer.Environment.ETag: requested nothing, found '3'",
            id="a variable named as a member that SageMaker adds",
        ),
        pytest.param(
            changed(MODEL, "EnableNetworkIsolation", to=True),
            DESCRIBED_MODEL,
            "EnableNetworkIsolation: requested True, found False",
            id="something other than the default",
        ),
        pytest.param(
            changed(CONFIG, "ProductionVariants", 0, "InstanceType", to="ml.c5.large"),
            DESCRIBED_CONFIG,
            "ProductionVariants[one].InstanceType: requested 'ml.c5.large', found 'ml.m5.large'",
            id="one variant of two",
        ),
        pytest.param(
            changed(CONFIG, "ProductionVariants", 1, "InitialVariantWeight", to=0.0),
            DESCRIBED_CONFIG,
            "ProductionVariants[two].InitialVariantWeight: requested 0.0, found 0.10000000149011612",
            id="a weight of zero",
        ),
        pytest.param(
            CONFIG,
            changed(DESCRIBED_CONFIG, "DataCaptureConfig", to={"DestinationS3Uri": "s3://bucket/capture"}),
            "DataCaptureConfig: requested nothing, found {'DestinationS3Uri': 's3://bucket/capture'}",
            id="a setting that was not requested",
        ),
        pytest.param(
            changed(CONFIG, "VpcConfig", "Subnets", to=["subnet-1"]),
            DESCRIBED_CONFIG,
            "VpcConfig.Subnets: requested ['subnet-1'], found ['subnet-2', 'subnet-1']",
            id="an extra subnet",
        ),
    ],
)
def test_difference_is_reported_with_its_key(
    asked: dict[str, Any], found: dict[str, Any], sentence: str
) -> None:
    assert differences(asked, found) == [sentence]


def test_every_difference_is_reported() -> None:
    asked = changed(MODEL, "PrimaryContainer", to={"Image": "other", "ModelDataUrl": "s3://b/c.tar.gz"})
    assert len(differences(asked, DESCRIBED_MODEL)) == 4


def test_long_value_is_truncated() -> None:
    [sentence] = differences(changed(MODEL, "ExecutionRoleArn", to="r" * 1000), DESCRIBED_MODEL)
    assert len(sentence) < 400
