"""Checks of a training job's request that botocore's model does not make: SageMaker's rules, and local AWS's limits."""

from pathlib import Path

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.sagemaker import network_isolation, private_folder
from include.local_aws.sagemaker.documents import Document
from include.local_aws.sagemaker.training_instance import checkpoint_folder

DEFAULT_MAX_RUNTIME_SECONDS = 86_400

_MAX_KEEP_ALIVE_SECONDS = 3_600
"""By the Developer Guide, "SageMaker AI Managed Warm Pools"; botocore's model lets more through."""


def check_supported(request: Document) -> None:
    """Check a request for a training job, or a tuning job's definition of one.

    :raises AwsError: when SageMaker would refuse it, or local AWS cannot run it
    """
    for member in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if member not in request:
            raise AwsError("ValidationException", f"Local AWS cannot train without {member}; give it.")
    network_isolation.check_possible(request)
    _check_program(request)
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if (
            source.get("S3DataType") != "S3Prefix"
            or source.get("S3DataDistributionType", "FullyReplicated") != "FullyReplicated"
        ):
            raise AwsError(
                "ValidationException",
                f"Channel {channel['ChannelName']}: local AWS reads S3DataSource of type S3Prefix, "
                "FullyReplicated, only.",
            )
    if "CheckpointConfig" in request:
        checkpoint_folder(request, Path())
    _check_resources(request)
    _check_spot(request)


def check_input(config: Config, request: Document) -> None:
    """Check that each channel of a checked request has objects, as SageMaker does at the call.

    :raises AwsError: naming the first that has none
    """
    for channel in request.get("InputDataConfig", []):
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        try:
            found = object_store.exists(config, uri, is_prefix=True)
        except ValueError as error:
            raise AwsError("ValidationException", str(error)) from error
        if not found:
            bucket, _ = object_store.split_uri(uri)
            raise AwsError(
                "ValidationException",
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
                f"exists in the selected region ({config.region}), that objects exist under that S3 prefix, and that "
                f'the role "{request["RoleArn"]}" has "s3:ListBucket" permissions on bucket "{bucket}".',
            )


def entrypoint(request: Document) -> list[str]:
    """Return the command of a job that does not run in script mode; it is empty for one that does."""
    specification = request["AlgorithmSpecification"]
    if "ContainerEntrypoint" not in specification:
        return []
    return [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", [])]


def check_keep_alive(seconds: int) -> None:
    """Check how long a warm pool is to be kept.

    :raises AwsError: when that is longer than SageMaker allows
    """
    if not 0 <= seconds <= _MAX_KEEP_ALIVE_SECONDS:
        raise AwsError(
            "ValidationException",
            f"KeepAlivePeriodInSeconds is {seconds}; a warm pool is kept for 0 to {_MAX_KEEP_ALIVE_SECONDS} "
            "seconds.",
        )


def _check_program(request: Document) -> None:
    specification = request["AlgorithmSpecification"]
    if "TrainingImage" not in specification:
        raise AwsError(
            "ValidationException",
            "AlgorithmSpecification has no TrainingImage. Give one; local AWS knows no AlgorithmName.",
        )
    if "ContainerArguments" in specification and "ContainerEntrypoint" not in specification:
        raise AwsError(
            "ValidationException",
            "Local AWS runs no image: give AlgorithmSpecification.ContainerEntrypoint with ContainerArguments.",
        )
    if "ContainerEntrypoint" in specification and not private_folder.is_possible():
        raise AwsError(
            "ValidationException",
            "Local AWS cannot run AlgorithmSpecification.ContainerEntrypoint on this machine, which allows no mount "
            "namespace for its /opt/ml. Leave it out, and give the hyperparameters sagemaker_program and "
            "sagemaker_submit_directory.",
        )
    if specification["TrainingInputMode"] == "Pipe":
        raise AwsError("ValidationException", "Local AWS has no input mode Pipe; use File or FastFile.")


def _check_resources(request: Document) -> None:
    resources = request["ResourceConfig"]
    if "InstanceType" not in resources or "InstanceCount" not in resources:
        raise AwsError(
            "ValidationException", "Local AWS needs ResourceConfig with an InstanceType and an InstanceCount."
        )
    if resources["InstanceCount"] < 1:
        raise AwsError(
            "ValidationException",
            f"ResourceConfig.InstanceCount is {resources['InstanceCount']}; a job needs at least one instance.",
        )
    seconds = resources.get("KeepAlivePeriodInSeconds", 0)
    check_keep_alive(seconds)
    if seconds and request.get("EnableManagedSpotTraining"):
        raise AwsError(
            "ValidationException",
            "KeepAlivePeriodInSeconds cannot be used with managed spot training; leave one of them out.",
        )


def _check_spot(request: Document) -> None:
    limits = request["StoppingCondition"]
    wait = limits.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise AwsError(
                "ValidationException",
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true",
            )
        return
    runtime = limits.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS)
    if wait is None or wait < runtime:
        given = "missing" if wait is None else str(wait)
        raise AwsError(
            "ValidationException",
            f"StoppingCondition.MaxWaitTimeInSeconds is {given}; with EnableManagedSpotTraining it must be equal "
            f"to or greater than MaxRuntimeInSeconds, {runtime}.",
        )
