"""Whether a job that exists does what a request asks for."""

from __future__ import annotations

import copy
from typing import Any

import botocore.session
import pytest
from amazon_ml.differences import differences
from amazon_ml.job_request import typed

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
    """What SageMaker makes of a training request."""
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
    """The differences between the training request with a change, and the description with another."""
    return differences(TRAINING | change, described(TRAINING) | (there or {}), name_key="TrainingJobName")


def test_defaults_state_name_and_tags_are_no_differences() -> None:
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
        pytest.param({"EnableNetworkIsolation": "False"}, id="truth as text"),
        pytest.param({"EnableInterContainerTrafficEncryption": False}, id="a default that is not described"),
        pytest.param({"Environment": {}}, id="an empty map that is not described"),
        pytest.param({"ResourceConfig": {"InstanceCount": 1}}, id="less said than is known"),
    ],
)
def test_the_same_said_otherwise_is_no_difference(change: dict[str, Any]) -> None:
    assert found(change) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(
            {"ResourceConfig": TRAINING["ResourceConfig"] | {"InstanceCount": 2}},
            "ResourceConfig.InstanceCount: asked for 2, there is 1",
            id="value",
        ),
        pytest.param(
            {"HyperParameters": {"epochs": "3", "learning_rate": "0.2"}},
            "HyperParameters.learning_rate: asked for '0.2', there is '0.1'",
            id="hyperparameter",
        ),
        pytest.param(
            {"HyperParameters": {"epochs": "3"}},
            "HyperParameters.learning_rate: asked for nothing, there is '0.1'",
            id="hyperparameter that is left out",
        ),
        pytest.param(
            {"Environment": {"DEBUG": "1"}},
            "Environment.DEBUG: asked for '1', there is nothing",
            id="variable that is not there",
        ),
        pytest.param(
            {"InputDataConfig": TRAINING["InputDataConfig"][:1]},
            "InputDataConfig[weights]: asked for nothing, there is {",
            id="channel that is left out",
        ),
        pytest.param(
            {"AlgorithmSpecification": {"MetricDefinitions": [{"Name": "loss", "Regex": "l=(.*)"}]}},
            "AlgorithmSpecification.MetricDefinitions[loss].Regex: asked for 'l=(.*)', there is 'loss=(.*)'",
            id="metric",
        ),
        pytest.param(
            {"EnableNetworkIsolation": True},
            "EnableNetworkIsolation: asked for True, there is False",
            id="switch",
        ),
        pytest.param(
            {"VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": ["b"]}},
            "VpcConfig: asked for {'Subnets': ['a'], 'SecurityGroupIds': ['b']}, there is nothing",
            id="structure that is not there",
        ),
    ],
)
def test_a_difference_is_named(change: dict[str, Any], line: str) -> None:
    lines = found(change)
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_what_only_the_description_has_is_a_difference_where_sagemaker_does_not_add_it() -> None:
    request = {key: value for key, value in TRAINING.items() if key != "InputDataConfig"}
    (line,) = differences(request, described(TRAINING), name_key="TrainingJobName")
    assert line.startswith("InputDataConfig: asked for nothing, there is [")


@pytest.mark.parametrize(
    ("subnets", "count"), [(["b", "a"], 0), (["a"], 1), (["a", "c"], 1)], ids=["order", "fewer", "others"]
)
def test_subnets_are_a_set(subnets: list[str], count: int) -> None:
    there = {"VpcConfig": {"Subnets": ["a", "b"], "SecurityGroupIds": ["g"]}}
    assert len(found({"VpcConfig": {"Subnets": subnets, "SecurityGroupIds": ["g"]}}, there)) == count


def test_the_order_of_arguments_counts() -> None:
    request = {"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["--a", "--b"]}}
    there = {"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["--b", "--a"]}}
    assert differences(request, there, name_key="ProcessingJobName") == [
        "AppSpecification.ContainerArguments[0]: asked for '--a', there is '--b'",
        "AppSpecification.ContainerArguments[1]: asked for '--b', there is '--a'",
    ]


def test_long_numerals_are_compared_exactly() -> None:
    request, there = ({"Environment": {"ID": f"1234567890123456789{digit}"}} for digit in (0, 1))
    assert len(differences(request, there, name_key="ProcessingJobName")) == 1


def test_text_that_is_no_number_to_sagemaker_equals_itself() -> None:
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

    def test_what_sagemaker_adds_is_no_difference(self) -> None:
        assert self.differences(self.REQUEST) == []

    def test_another_range_is_named(self) -> None:
        request = copy.deepcopy(self.REQUEST)
        request["HyperParameterTuningJobConfig"]["ParameterRanges"]["ContinuousParameterRanges"][0][
            "MaxValue"
        ] = "2"
        assert self.differences(request) == [
            "HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[learning_rate].MaxValue: "
            "asked for '2', there is '1'"
        ]

    def test_a_range_that_is_left_out_is_named(self) -> None:
        request = copy.deepcopy(self.REQUEST)
        request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {}
        (line,) = self.differences(request)
        assert "ContinuousParameterRanges: asked for nothing" in line


class TestTyped:
    def typed(self, request: dict[str, Any]) -> Any:
        service = botocore.session.get_session().get_service_model("sagemaker")
        return typed(request, service.operation_model("CreateTrainingJob").input_shape)

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
                {"EnableManagedSpotTraining": "True"}, {"EnableManagedSpotTraining": True}, id="truth"
            ),
            pytest.param(
                {"HyperParameters": {"epochs": "3"}},
                {"HyperParameters": {"epochs": "3"}},
                id="text stays text",
            ),
            pytest.param(
                {"ResourceConfig": {"InstanceCount": "two"}},
                {"ResourceConfig": {"InstanceCount": "two"}},
                id="what is no number is left to boto3",
            ),
            pytest.param({"NoSuchMember": "2"}, {"NoSuchMember": "2"}, id="as is what is not known"),
        ],
    )
    def test_text_becomes_what_the_model_asks_for(
        self, request_: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert self.typed(request_) == expected
