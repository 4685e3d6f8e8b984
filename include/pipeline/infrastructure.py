"""Read the outputs of the infrastructure stack: its bucket, roles and topic."""

from __future__ import annotations

import os
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from include.pipeline.errors import PermanentError
from include.pipeline.target import is_local

STACK_VARIABLE = "IMAGE_CLASSIFIER_STACK"
DEFAULT_STACK = "image-classifier"
TOPIC_OUTPUT = "TopicArn"
PROFILE_OUTPUT = "TrainingInstanceProfileArn"
REPOSITORY_OUTPUT = "ServingRepositoryUri"
BUILD_OUTPUT = "ServingBuild"
VERSION_OUTPUT = "StackVersion"
NEEDED_VERSION = 5
"""The version of the stack that runs need: the output StackVersion of ``include/infrastructure/stack.yaml``."""


class InfrastructureError(PermanentError):
    """Raised if the stack can't be used; the message says what an administrator has to do."""


class MissingStackError(InfrastructureError):
    """Raised if the stack does not exist, or Airflow has no permission to describe it."""


class OldStackError(InfrastructureError):
    """Raised if the stack was deployed from a template that is too old."""


class Infrastructure(BaseModel):
    """The outputs of ``include/infrastructure/stack.yaml``; a result of the task ``preflight``."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    bucket: str
    sagemaker_role: str
    function_role: str
    topic: str | None = None
    """The ARN of the SNS topic; None if the stack was deployed before the template had one."""
    workspace_role: str | None = None
    """The role of notebook instances; None if the stack was deployed before the template had one."""
    training_instance_profile: str | None = None
    """The instance profile for training on EC2; None if the stack was deployed before the template had one."""
    serving_repository: str | None = None
    """The URI of the ECR repository of serving images; None if the stack lacks this optional part."""
    serving_build: str | None = None
    """The CodeBuild project that builds serving images; None if the stack lacks this optional part."""
    version: int = 1
    """The version of the template; 1 if the stack was deployed before the template had a version."""

    def check_version(self) -> None:
        """Check that the stack has what runs need. A project on an older stack can still be torn down.

        :raises OldStackError: if the stack was deployed from an older template.
        """
        if self.version < NEEDED_VERSION:
            raise OldStackError(
                f"Stack {stack_name()!r} has version {self.version}, but runs need version {NEEDED_VERSION}. Deploy "
                f"it again: aws cloudformation deploy --stack-name {stack_name()} --capabilities CAPABILITY_IAM "
                "--template-file include/infrastructure/stack.yaml"
            )

    def check_serving_image(self) -> None:
        """See that the stack can build serving images.

        :raises InfrastructureError: if that part was left out.
        """
        if self.serving_repository is None or self.serving_build is None:
            raise InfrastructureError(
                f"endpoint.image is 'own', but stack {stack_name()!r} has no part for serving images. Add it: aws "
                f"cloudformation deploy --stack-name {stack_name()} --capabilities CAPABILITY_IAM --template-file "
                "include/infrastructure/stack.yaml --parameter-overrides ServingImage=true. Or set endpoint.image to "
                "'ray'."
            )


def stack_name() -> str:
    """Return the name of the stack."""
    return os.environ.get(STACK_VARIABLE, DEFAULT_STACK)


def is_missing(error: ClientError) -> bool:
    """Return whether the error may mean that the stack does not exist.

    The stack's policy allows describing this one stack only. With it, AWS denies access to the name of a stack that
    does not exist, because it has no ARN to compare with the policy.
    """
    return error.response["Error"]["Code"] == "ValidationError" or is_denied(error)


def is_denied(error: ClientError) -> bool:
    """Return whether the error means that a permission is missing."""
    return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


def read_infrastructure(cloudformation: Any) -> Infrastructure:
    """Return the outputs of the stack.

    :param cloudformation: a boto3 client.
    :raises MissingStackError: if the stack does not exist.
    :raises InfrastructureError: if the stack can't be described, or is not complete.
    """
    name = stack_name()
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if not is_missing(error):
            raise InfrastructureError(
                f"CloudFormation refused to describe stack {name!r}: {error}"
            ) from error
        if is_denied(error):
            raise MissingStackError(
                f"CloudFormation stack {name!r} does not exist in this account and region, or Airflow has no "
                f"permission to describe it. AWS gives the same answer for both: {error}. Deploy "
                f"include/infrastructure/stack.yaml under this name, or set {STACK_VARIABLE} to the name of your "
                "stack. If the stack exists, attach its AirflowPolicy to Airflow's role."
            ) from error
        if is_local():
            raise MissingStackError(
                f"CloudFormation stack {name!r} does not exist in local AWS. Local AWS keeps its resources in memory "
                "and may have been restarted. Run `make up` to create the stack again, and start a new run."
            ) from error
        raise MissingStackError(
            f"CloudFormation stack {name!r} does not exist in this account and region. Deploy "
            f"include/infrastructure/stack.yaml under this name, or set {STACK_VARIABLE} to the name of your stack."
        ) from error
    if not stack["StackStatus"].endswith("_COMPLETE") or stack["StackStatus"].startswith(
        ("ROLLBACK", "DELETE")
    ):
        raise InfrastructureError(
            f"Stack {name!r} is in state {stack['StackStatus']}. Wait until it is complete, or deploy it again."
        )
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    missing = {"BucketName", "SageMakerRoleArn", "FunctionRoleArn"} - outputs.keys()
    if missing:
        raise InfrastructureError(
            f"Stack {name!r} lacks the outputs {', '.join(sorted(missing))}. Deploy "
            "include/infrastructure/stack.yaml under this name."
        )
    return Infrastructure(
        bucket=outputs["BucketName"],
        sagemaker_role=outputs["SageMakerRoleArn"],
        function_role=outputs["FunctionRoleArn"],
        topic=outputs.get(TOPIC_OUTPUT),
        workspace_role=outputs.get("WorkspaceRoleArn"),
        training_instance_profile=outputs.get(PROFILE_OUTPUT),
        serving_repository=outputs.get(REPOSITORY_OUTPUT),
        serving_build=outputs.get(BUILD_OUTPUT),
        version=int(outputs.get(VERSION_OUTPUT, 1)),
    )
