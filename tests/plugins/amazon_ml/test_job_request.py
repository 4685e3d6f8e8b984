"""Comparison of an existing job with a request."""

from __future__ import annotations

import copy
from typing import Any

import botocore.session
import pytest
from amazon_ml.differences import differences
from amazon_ml.job_request import coerce_types

TRAINING: dict[str, Any] = {
    "TrainingJobName": "birds",
    "RoleArn": "arn:aws:iam::123456789012:role/any",
    "AlgorithmSpecification": {
        "TrainingImage": "image",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
    },
    "HyperParameters": {"epochs": "3", "learning_rate": "0.1"},
    "InputDataConfig": [
        {
            "ChannelName": "training",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://a/b"}},
        },
        {
            "ChannelName": "weights",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://a/c"}},
        },
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://a/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "Tags": [{"Key": "project", "Value": "birds"}],
}


def described(request: dict[str, Any]) -> dict[str, Any]:
    """Return SageMaker's description of a training request."""
    description = copy.deepcopy(request)
    del description["Tags"]
    description["TrainingJobName"] = "birds-2"
    description["TrainingJobArn"] = "arn:aws:sagemaker:us-east-1:123456789012:training-job/birds-2"
    description["TrainingJobStatus"] = "Completed"
    description["ModelArtifacts"] = {"S3ModelArtifacts": "s3://a/out/birds/output/model.tar.gz"}
    description["EnableNetworkIsolation"] = False
    description["EnableManagedSpotTraining"] = False
    description["ProfilerConfig"] = {"S3OutputPath": "s3://a/out", "ProfilingIntervalInMilliseconds": 500}
    description["OutputDataConfig"] |= {"KmsKeyId": "", "CompressionType": "GZIP"}
    description["ResourceConfig"] |= {"KeepAlivePeriodInSeconds": 0}
    description["AlgorithmSpecification"] |= {"EnableSageMakerMetricsTimeSeries": True}
    description["AlgorithmSpecification"]["MetricDefinitions"] += [{"Name": "train:error", "Regex": "e"}]
    for channel in description["InputDataConfig"]:
        channel |= {"CompressionType": "None", "RecordWrapperType": "None"}
        channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "FullyReplicated"
    return description


def found(change: dict[str, Any], there: dict[str, Any] | None = None) -> list[str]:
    """Return the differences between a changed training request and a changed description."""
    return differences(TRAINING | change, described(TRAINING) | (there or {}), name_key="TrainingJobName")


def test_defaults_state_name_and_tags_are_ignored() -> None:
    assert found({}) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"Tags": [{"Key": "project", "Value": "cats"}]}, id="other tags"),
        pytest.param(
            {"ResourceConfig": TRAINING["ResourceConfig"] | {"KeepAlivePeriodInSeconds": 600}},
            id="a warm pool that was ended",
        ),
        pytest.param(
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": "1", "VolumeSizeInGB": "30"}},
            id="numbers as text",
        ),
        pytest.param({"StoppingCondition": {"MaxRuntimeInSeconds": 3600.0}}, id="numbers of another type"),
        pytest.param({"InputDataConfig": TRAINING["InputDataConfig"][::-1]}, id="channels in another order"),
        pytest.param(
            {"HyperParameters": {"epochs": 3, "learning_rate": "0.10"}}, id="hyperparameters as numbers"
        ),
        pytest.param({"EnableNetworkIsolation": "False"}, id="boolean as text"),
        pytest.param({"EnableInterContainerTrafficEncryption": False}, id="a default that is not described"),
        pytest.param({"Environment": {}}, id="an empty map that is not described"),
        pytest.param({"ResourceConfig": {"InstanceCount": 1}}, id="fewer members than described"),
    ],
)
def test_equivalent_values_are_equal(change: dict[str, Any]) -> None:
    assert found(change) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(
            {"ResourceConfig": TRAINING["ResourceConfig"] | {"InstanceCount": 2}},
            "ResourceConfig.InstanceCount: requested 2, found 1",
            id="value",
        ),
        pytest.param(
            {"HyperParameters": {"epochs": "3", "learning_rate": "0.2"}},
            "HyperParameters.learning_rate: requested '0.2', found '0.1'",
            id="hyperparameter",
        ),
        pytest.param(
            {"HyperParameters": {"epochs": "3"}},
            "HyperParameters.learning_rate: requested nothing, found '0.1'",
            id="hyperparameter that is left out",
        ),
        pytest.param(
            {"Environment": {"DEBUG": "1"}},
            "Environment.DEBUG: requested '1', found nothing",
            id="variable that is not there",
        ),
        pytest.param(
            {"InputDataConfig": TRAINING["InputDataConfig"][:1]},
            "InputDataConfig[weights]: requested nothing, found {",
            id="channel that is left out",
        ),
        pytest.param(
            {"AlgorithmSpecification": {"MetricDefinitions": [{"Name": "loss", "Regex": "l=(.*)"}]}},
            "AlgorithmSpecification.MetricDefinitions[loss].Regex: requested 'l=(.*)', found 'loss=(.*)'",
            id="metric",
        ),
        pytest.param(
            {"EnableNetworkIsolation": True},
            "EnableNetworkIsolation: requested True, found False",
            id="switch",
        ),
        pytest.param(
            {"VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": ["b"]}},
            "VpcConfig: requested {'Subnets': ['a'], 'SecurityGroupIds': ['b']}, found nothing",
            id="structure that is not there",
        ),
    ],
)
def test_difference_is_reported(change: dict[str, Any], line: str) -> None:
    lines = found(change)
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_extra_member_in_the_description_is_reported_if_sagemaker_has_no_default() -> None:
    request = {key: value for key, value in TRAINING.items() if key != "InputDataConfig"}
    (line,) = differences(request, described(TRAINING), name_key="TrainingJobName")
    assert line.startswith("InputDataConfig: requested nothing, found [")


@pytest.mark.parametrize(
    ("subnets", "count"), [(["b", "a"], 0), (["a"], 1), (["a", "c"], 1)], ids=["order", "fewer", "others"]
)
def test_order_of_subnets_is_ignored(subnets: list[str], count: int) -> None:
    there = {"VpcConfig": {"Subnets": ["a", "b"], "SecurityGroupIds": ["g"]}}
    assert len(found({"VpcConfig": {"Subnets": subnets, "SecurityGroupIds": ["g"]}}, there)) == count


def test_order_of_arguments_is_compared() -> None:
    request = {"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["--a", "--b"]}}
    there = {"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["--b", "--a"]}}
    assert differences(request, there, name_key="ProcessingJobName") == [
        "AppSpecification.ContainerArguments[0]: requested '--a', found '--b'",
        "AppSpecification.ContainerArguments[1]: requested '--b', found '--a'",
    ]


def test_long_numerals_are_compared_exactly() -> None:
    request, there = ({"Environment": {"ID": f"1234567890123456789{digit}"}} for digit in (0, 1))
    assert len(differences(request, there, name_key="ProcessingJobName")) == 1


def test_non_numeric_text_is_equal_to_itself() -> None:
    request = {"HyperParameters": {"fill": "nan"}}
    assert differences(request, request, name_key="TrainingJobName") == []


class TestTuning:
    REQUEST: dict[str, Any] = {  # noqa: RUF012
        "HyperParameterTuningJobName": "birds",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": [{"Name": "learning_rate", "MinValue": "0.1", "MaxValue": "1"}]
            },
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"epochs": "3"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        },
    }

    def description(self) -> dict[str, Any]:
        description = copy.deepcopy(self.REQUEST)
        description |= {
            "HyperParameterTuningJobStatus": "InProgress",
            "TrainingJobStatusCounters": {"InProgress": 2},
            "ObjectiveStatusCounters": {"Pending": 2},
            "BestTrainingJob": {"TrainingJobName": "birds-001-0a1b2c3d"},
        }
        description["HyperParameterTuningJobConfig"] |= {"TrainingJobEarlyStoppingType": "Off"}
        description["HyperParameterTuningJobConfig"]["ParameterRanges"] |= {
            "IntegerParameterRanges": [],
            "CategoricalParameterRanges": [],
        }
        ranges = description["HyperParameterTuningJobConfig"]["ParameterRanges"]["ContinuousParameterRanges"]
        ranges[0]["ScalingType"] = "Auto"
        definition = description["TrainingJobDefinition"]
        definition["StaticHyperParameters"] |= {"_tuning_objective_metric": "loss"}
        definition |= {"EnableNetworkIsolation": False, "StoppingCondition": {"MaxRuntimeInSeconds": 86400}}
        return description

    def differences(self, request: dict[str, Any]) -> list[str]:
        return differences(request, self.description(), name_key="HyperParameterTuningJobName")

    def test_members_that_sagemaker_adds_are_ignored(self) -> None:
        assert self.differences(self.REQUEST) == []

    def test_different_range_is_reported(self) -> None:
        request = copy.deepcopy(self.REQUEST)
        request["HyperParameterTuningJobConfig"]["ParameterRanges"]["ContinuousParameterRanges"][0][
            "MaxValue"
        ] = "2"
        assert self.differences(request) == [
            "HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[learning_rate].MaxValue: "
            "requested '2', found '1'"
        ]

    def test_missing_range_is_reported(self) -> None:
        request = copy.deepcopy(self.REQUEST)
        request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {}
        (line,) = self.differences(request)
        assert "ContinuousParameterRanges: requested nothing" in line


class TestCoerceTypes:
    def coerce(self, request: dict[str, Any]) -> Any:
        service = botocore.session.get_session().get_service_model("sagemaker")
        return coerce_types(request, service.operation_model("CreateTrainingJob").input_shape)

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            pytest.param(
                {"ResourceConfig": {"InstanceCount": "2", "InstanceType": "ml.m5.large"}},
                {"ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large"}},
                id="number",
            ),
            pytest.param(
                {"ResourceConfig": {"InstanceGroups": [{"InstanceCount": "2"}]}},
                {"ResourceConfig": {"InstanceGroups": [{"InstanceCount": 2}]}},
                id="number in a list",
            ),
            pytest.param(
                {"EnableManagedSpotTraining": "True"}, {"EnableManagedSpotTraining": True}, id="boolean"
            ),
            pytest.param(
                {"HyperParameters": {"epochs": "3"}},
                {"HyperParameters": {"epochs": "3"}},
                id="text stays text",
            ),
            pytest.param(
                {"ResourceConfig": {"InstanceCount": "two"}},
                {"ResourceConfig": {"InstanceCount": "two"}},
                id="invalid numbers are left to boto3",
            ),
            pytest.param({"NoSuchMember": "2"}, {"NoSuchMember": "2"}, id="unknown members stay"),
        ],
    )
    def test_text_is_converted_to_the_type_of_the_shape(
        self, request_: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert self.coerce(request_) == expected
