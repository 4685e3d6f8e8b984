"""Requests compared with what SageMaker describes: real differences are named, what SageMaker adds is not."""

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


def test_what_sagemaker_adds_to_a_model_is_no_difference() -> None:
    assert differences(MODEL, DESCRIBED_MODEL) == []


def test_what_sagemaker_adds_to_an_endpoint_configuration_is_no_difference() -> None:
    assert differences(CONFIG, DESCRIBED_CONFIG) == []


@pytest.mark.parametrize("key", ["_tuning_objective_metric", "_another_of_sagemakers"])
def test_a_key_of_sagemakers_among_the_callers_is_no_difference(key: str) -> None:
    asked, found = {"StaticHyperParameters": {"lr": "1"}}, {"StaticHyperParameters": {"lr": "1", key: "x"}}
    assert differences(asked, found) == []
    assert differences(found, asked) == [f"StaticHyperParameters.{key}: asked for 'x', there is nothing"]


def test_a_default_that_the_request_spells_out_is_no_difference() -> None:
    asked = changed(MODEL, "EnableNetworkIsolation", to=False)
    assert differences(asked, changed(DESCRIBED_MODEL, "EnableNetworkIsolation", to=None)) == []


def test_a_source_and_an_address_of_the_same_archive_are_the_same() -> None:
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
            "PrimaryContainer.Image: asked for 'other', there is 'image'",
            id="a value",
        ),
        pytest.param(
            changed(MODEL, "PrimaryContainer", "ModelDataUrl", to="s3://bucket/other.tar.gz"),
            DESCRIBED_MODEL,
            f"PrimaryContainer.ModelDataUrl: asked for 's3://bucket/other.tar.gz', there is '{URL}'",
            id="the artifact",
        ),
        pytest.param(
            changed(MODEL, "PrimaryContainer", "Environment", to={"A": "1"}),
            DESCRIBED_MODEL,
            "PrimaryContainer.Environment.B: asked for nothing, there is '2'",
            id="a variable too many",
        ),
        pytest.param(
            changed(MODEL, "PrimaryContainer", "Environment", "Mode", to="SingleModel"),
            DESCRIBED_MODEL,
            "PrimaryContainer.Environment.Mode: asked for 'SingleModel', there is nothing",
            id="a variable named as a member with a default",
        ),
        pytest.param(
            MODEL,
            changed(DESCRIBED_MODEL, "PrimaryContainer", "Environment", "ETag", to="3"),
            "PrimaryContainer.Environment.ETag: asked for nothing, there is '3'",
            id="a variable named as a member that SageMaker adds",
        ),
        pytest.param(
            changed(MODEL, "EnableNetworkIsolation", to=True),
            DESCRIBED_MODEL,
            "EnableNetworkIsolation: asked for True, there is False",
            id="something other than the default",
        ),
        pytest.param(
            changed(CONFIG, "ProductionVariants", 0, "InstanceType", to="ml.c5.large"),
            DESCRIBED_CONFIG,
            "ProductionVariants[one].InstanceType: asked for 'ml.c5.large', there is 'ml.m5.large'",
            id="one variant of two",
        ),
        pytest.param(
            changed(CONFIG, "ProductionVariants", 1, "InitialVariantWeight", to=0.0),
            DESCRIBED_CONFIG,
            "ProductionVariants[two].InitialVariantWeight: asked for 0.0, there is 0.10000000149011612",
            id="a weight of nothing",
        ),
        pytest.param(
            CONFIG,
            changed(DESCRIBED_CONFIG, "DataCaptureConfig", to={"DestinationS3Uri": "s3://bucket/capture"}),
            "DataCaptureConfig: asked for nothing, there is {'DestinationS3Uri': 's3://bucket/capture'}",
            id="a setting that was not asked for",
        ),
        pytest.param(
            changed(CONFIG, "VpcConfig", "Subnets", to=["subnet-1"]),
            DESCRIBED_CONFIG,
            "VpcConfig.Subnets: asked for ['subnet-1'], there is ['subnet-2', 'subnet-1']",
            id="a subnet too many",
        ),
    ],
)
def test_a_real_difference_is_named_by_its_key(
    asked: dict[str, Any], found: dict[str, Any], sentence: str
) -> None:
    assert differences(asked, found) == [sentence]


def test_every_difference_is_named() -> None:
    asked = changed(MODEL, "PrimaryContainer", to={"Image": "other", "ModelDataUrl": "s3://b/c.tar.gz"})
    assert len(differences(asked, DESCRIBED_MODEL)) == 4


def test_a_long_value_is_cut() -> None:
    [sentence] = differences(changed(MODEL, "ExecutionRoleArn", to="r" * 1000), DESCRIBED_MODEL)
    assert len(sentence) < 400
