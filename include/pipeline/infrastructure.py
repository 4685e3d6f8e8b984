"""The bucket, roles and topic that the infrastructure stack made, read from its outputs."""

from __future__ import annotations

import os
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel

from include.pipeline.errors import PermanentError
from include.pipeline.target import is_local

STACK_VARIABLE = "IMAGE_CLASSIFIER_STACK"
DEFAULT_STACK = "image-classifier"
TOPIC_OUTPUT = "TopicArn"
PROFILE_OUTPUT = "TrainingInstanceProfileArn"
VERSION_OUTPUT = "StackVersion"
NEEDED_VERSION = 3
"""The version of the stack that runs need: the output StackVersion of ``include/infrastructure/stack.yaml``."""


class InfrastructureError(PermanentError):
    """The stack can't be read; the message says what an administrator has to do."""


class MissingStackError(InfrastructureError):
    """There is no stack at all, or none that Airflow may see."""


class OldStackError(InfrastructureError):
    """The stack was deployed from a template that is too old."""


class Infrastructure(BaseModel):
    """The outputs of ``include/infrastructure/stack.yaml``."""

    bucket: str
    sagemaker_role: str
    function_role: str
    topic: str | None = None
    """The SNS topic; None where the stack was deployed before it had one."""
    workspace_role: str | None = None
    """The role of notebook instances; None as above."""
    training_instance_profile: str | None = None
    """The instance profile for training on EC2; likewise None."""
    version: int = 1
    """The version of the template; 1 where the stack was deployed before it told one."""

    def check_version(self) -> None:
        """See that the stack has what runs need. Older ones can still be torn down.

        :raises OldStackError: if it was deployed from an older template.
        """
        if self.version < NEEDED_VERSION:
            raise OldStackError(
                f"Stack {stack_name()!r} has version {self.version}, and runs need version {NEEDED_VERSION}. Deploy "
                f"it again: aws cloudformation deploy --stack-name {stack_name()} --capabilities CAPABILITY_IAM "
                "--template-file include/infrastructure/stack.yaml"
            )


def stack_name() -> str:
    """What the stack is called in this account and region."""
    return os.environ.get(STACK_VARIABLE, DEFAULT_STACK)


def is_missing(error: ClientError) -> bool:
    """Whether CloudFormation refused to describe a stack that does not exist.

    With the right to describe one stack alone, as the stack's own policy gives it, AWS denies access to any name that
    is no stack's: it knows no ARN to compare with the policy.
    """
    return error.response["Error"]["Code"] == "ValidationError" or is_denied(error)


def is_denied(error: ClientError) -> bool:
    """Whether CloudFormation refused for lack of a permission."""
    return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


def read_infrastructure(cloudformation: Any) -> Infrastructure:
    """Ask CloudFormation for the stack's outputs.

    :param cloudformation: a boto3 client.
    :raises InfrastructureError: if there is no such stack (then a :class:`MissingStackError`), or it is not complete.
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
                f"There is no CloudFormation stack {name!r} in this account and region, or Airflow may not see it. "
                f"AWS answers both alike: {error}. Deploy include/infrastructure/stack.yaml under that name, or name "
                f"yours in {STACK_VARIABLE}. If the stack exists, attach its AirflowPolicy to what Airflow runs as."
            ) from error
        if is_local():
            raise MissingStackError(
                f"There is no CloudFormation stack {name!r} in local AWS, which keeps all it has in memory and was "
                "perhaps started again. Run `make up`, which makes it again, and start a new run."
            ) from error
        raise MissingStackError(
            f"There is no CloudFormation stack {name!r} in this account and region. Deploy "
            f"include/infrastructure/stack.yaml under that name, or name yours in {STACK_VARIABLE}."
        ) from error
    if not stack["StackStatus"].endswith("_COMPLETE") or stack["StackStatus"].startswith(
        ("ROLLBACK", "DELETE")
    ):
        raise InfrastructureError(f"Stack {name!r} is in state {stack['StackStatus']}; it must be complete.")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    missing = {"BucketName", "SageMakerRoleArn", "FunctionRoleArn"} - outputs.keys()
    if missing:
        raise InfrastructureError(f"Stack {name!r} lacks the outputs {', '.join(sorted(missing))}.")
    return Infrastructure(
        bucket=outputs["BucketName"],
        sagemaker_role=outputs["SageMakerRoleArn"],
        function_role=outputs["FunctionRoleArn"],
        topic=outputs.get(TOPIC_OUTPUT),
        workspace_role=outputs.get("WorkspaceRoleArn"),
        training_instance_profile=outputs.get(PROFILE_OUTPUT),
        version=int(outputs.get(VERSION_OUTPUT, 1)),
    )
