"""The members of SageMaker's requests that local AWS implements. Others are refused, never accepted and ignored.

Members that only have an effect on AWS's machines, such as keys, networks and volumes, are stored and described: no
result depends on them. Members that are not listed here are refused, also those that a later botocore adds.
"""

from collections.abc import Iterator
from typing import Any

from include.local_aws.errors import AwsError

Members = dict[str, Any]
"""By name: None allows a member with all that is in it, a tuple only these values, a dictionary only these members."""

_S3_SOURCE = {"S3DataSource": {"S3DataType": None, "S3Uri": None, "S3DataDistributionType": None}}
_TRAINING: Members = {
    "AlgorithmSpecification": {
        "TrainingImage": None,
        "TrainingInputMode": None,
        "MetricDefinitions": None,
        "ContainerEntrypoint": None,
        "ContainerArguments": None,
    },
    "RoleArn": None,
    "InputDataConfig": {
        "ChannelName": None,
        "DataSource": _S3_SOURCE,
        "ContentType": None,
        "CompressionType": ("None",),
        "RecordWrapperType": ("None",),
        "InputMode": ("File", "FastFile"),
    },
    "OutputDataConfig": {"KmsKeyId": None, "S3OutputPath": None, "CompressionType": ("GZIP",)},
    "ResourceConfig": {
        "InstanceType": None,
        "InstanceCount": None,
        "VolumeSizeInGB": None,
        "VolumeKmsKeyId": None,
        "KeepAlivePeriodInSeconds": None,
    },
    "VpcConfig": None,
    "StoppingCondition": {"MaxRuntimeInSeconds": None, "MaxWaitTimeInSeconds": None},
    "EnableNetworkIsolation": None,
    "EnableInterContainerTrafficEncryption": None,
    "EnableManagedSpotTraining": None,
    "CheckpointConfig": None,
    "Environment": None,
    # Repeats a job after an internal error of SageMaker, which does not happen here.
    "RetryStrategy": None,
}
_CONTAINER: Members = {
    "ContainerHostname": None,
    "Image": None,
    "ImageConfig": None,
    "Mode": ("SingleModel",),
    "ModelDataUrl": None,
    "Environment": None,
    "ModelPackageName": None,
}
_LIST: Members = dict.fromkeys(
    (
        "CreationTimeAfter",
        "CreationTimeBefore",
        "LastModifiedTimeAfter",
        "LastModifiedTimeBefore",
        "MaxResults",
        "NameContains",
        "NextToken",
        "SortBy",
        "SortOrder",
        "StatusEquals",
        "WarmPoolStatusEquals",
    )
)
_NOTEBOOK: Members = dict.fromkeys(
    (
        "NotebookInstanceName",
        "InstanceType",
        "RoleArn",
        "LifecycleConfigName",
        "VolumeSizeInGB",
        "RootAccess",
        "IpAddressType",
        "PlatformIdentifier",
        "InstanceMetadataServiceConfiguration",
    )
)
_MEMBERS: dict[str, Members] = {
    "CreateTrainingJob": _TRAINING
    | {
        "TrainingJobName": None,
        "HyperParameters": None,
        "Tags": None,
        "ProfilerConfig": {"DisableProfiler": (True,)},
    },
    "UpdateTrainingJob": {"TrainingJobName": None, "ResourceConfig": None},
    "CreateHyperParameterTuningJob": {
        "HyperParameterTuningJobName": None,
        "HyperParameterTuningJobConfig": {
            "Strategy": None,
            "HyperParameterTuningJobObjective": None,
            "ResourceLimits": {"MaxNumberOfTrainingJobs": None, "MaxParallelTrainingJobs": None},
            "ParameterRanges": {
                "IntegerParameterRanges": None,
                "ContinuousParameterRanges": None,
                "CategoricalParameterRanges": None,
            },
            "TrainingJobEarlyStoppingType": None,
            "RandomSeed": None,
        },
        "TrainingJobDefinition": _TRAINING | {"StaticHyperParameters": None},
        "Tags": None,
    },
    "CreateProcessingJob": {
        "ProcessingJobName": None,
        "ProcessingInputs": {
            "InputName": None,
            "S3Input": {
                "S3Uri": None,
                "LocalPath": None,
                "S3DataType": None,
                "S3InputMode": ("File",),
                "S3DataDistributionType": ("FullyReplicated",),
                "S3CompressionType": ("None",),
            },
        },
        "ProcessingOutputConfig": {
            "KmsKeyId": None,
            "Outputs": {
                "OutputName": None,
                "S3Output": {"S3Uri": None, "LocalPath": None, "S3UploadMode": ("EndOfJob",)},
            },
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": None,
                "InstanceType": None,
                "VolumeSizeInGB": None,
                "VolumeKmsKeyId": None,
            }
        },
        "StoppingCondition": None,
        "AppSpecification": None,
        "Environment": None,
        "NetworkConfig": None,
        "RoleArn": None,
        "Tags": None,
    },
    "CreateModel": {
        "ModelName": None,
        "PrimaryContainer": _CONTAINER,
        "Containers": _CONTAINER,
        "ExecutionRoleArn": None,
        "Tags": None,
        "VpcConfig": None,
        "EnableNetworkIsolation": None,
    },
    "CreateEndpointConfig": {
        "EndpointConfigName": None,
        "ProductionVariants": {
            "VariantName": None,
            "ModelName": None,
            "InitialInstanceCount": None,
            "InstanceType": None,
            "InitialVariantWeight": None,
            "VolumeSizeInGB": None,
            "ModelDataDownloadTimeoutInSeconds": None,
            "ContainerStartupHealthCheckTimeoutInSeconds": None,
            "InferenceAmiVersion": None,
        },
        "DataCaptureConfig": None,
        "KmsKeyId": None,
        "Tags": None,
    },
    "UpdateEndpointWeightsAndCapacities": {
        "EndpointName": None,
        "DesiredWeightsAndCapacities": {
            "VariantName": None,
            "DesiredWeight": None,
            "DesiredInstanceCount": None,
        },
    },
    "CreateNotebookInstance": _NOTEBOOK
    | {
        "SubnetId": None,
        "SecurityGroupIds": None,
        "KmsKeyId": None,
        "Tags": None,
        "DirectInternetAccess": None,
    },
    "UpdateNotebookInstance": _NOTEBOOK | {"DisassociateLifecycleConfig": None},
    "ListTrainingJobs": _LIST,
    "ListNotebookInstances": _LIST,
}
_NOT_IMPLEMENTED: dict[str, frozenset[str]] = {
    # It would run a batch transform.
    "CreateModelPackage": frozenset({"ValidationSpecification"}),
}


def check_members(operation: str, request: dict[str, Any]) -> None:
    """Check that local AWS implements each member of a request.

    :raises AwsError: naming the members that it does not implement
    """
    unknown = [name for name in request if name in _NOT_IMPLEMENTED.get(operation, ())]
    if operation in _MEMBERS:
        unknown += _unknown(request, _MEMBERS[operation], "")
    if unknown:
        raise AwsError(
            "ValidationException",
            f"Local AWS does not implement {', '.join(sorted(set(unknown)))} of {operation}. Leave it out.",
        )


def _unknown(value: Any, known: Any, where: str) -> Iterator[str]:
    if known is None or _asks_for_nothing(value):
        return
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, known, where)
    elif isinstance(known, tuple):
        if value not in known:
            yield f"{where}={value}"
    else:
        for name, member in value.items():
            path = f"{where}.{name}" if where else name
            if name in known:
                yield from _unknown(member, known[name], path)
            elif not _asks_for_nothing(member):
                yield path


def _asks_for_nothing(value: Any) -> bool:
    """Return whether a member is empty or disables something, such as ``{"EnableRemoteDebug": false}``."""
    if isinstance(value, dict):
        return all(_asks_for_nothing(member) for member in value.values())
    return value is None or value is False or value == []
