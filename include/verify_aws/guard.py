"""Clients for an AWS account that change only resources of this run, which have a name prefix and a tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

PREFIX = "verify-aws"
"""The prefix of the name of every resource that a run creates."""
TAG = ("created-by", "image-classifier-verify-aws")
"""The key and value of the tag of every resource that a run creates."""

READS = ("Describe", "Get", "Head", "List")
IDENTIFIERS = {
    "application-autoscaling": ("ResourceId",),
    "cloudformation": ("StackName",),
    "cloudwatch": ("AlarmName", "AlarmNames"),
    "ec2": ("ClientToken", "GroupId", "GroupName", "InstanceIds", "SecurityGroupIds"),
    "iam": ("RoleName",),
    "lambda": ("FunctionName", "Resource"),
    "logs": ("logGroupName",),
    "s3": ("Bucket",),
    "sagemaker": (
        "EndpointConfigName",
        "EndpointName",
        "HyperParameterTuningJobName",
        "ModelName",
        "ModelPackageArn",
        "ModelPackageGroupName",
        "ModelPackageName",
        "NotebookInstanceLifecycleConfigName",
        "NotebookInstanceName",
        "ProcessingJobName",
        "ResourceArn",
        "TrainingJobName",
    ),
    "sagemaker-runtime": ("EndpointName",),
    "sns": ("Name", "TopicArn"),
    "ssm": ("CommandId", "InstanceIds"),
}
"""The parameters that identify the changed resource, by service. A call with changes must have one of them."""
COSTLY = frozenset(
    {
        "ec2:RunInstances",
        "lambda:PutProvisionedConcurrencyConfig",
        "sagemaker:CreateEndpoint",
        "sagemaker:CreateHyperParameterTuningJob",
        "sagemaker:CreateNotebookInstance",
        "sagemaker:CreateProcessingJob",
        "sagemaker:CreateTrainingJob",
    }
)
"""Operations that start resources that AWS bills by time, unless AWS rejects them."""
TAGGED_BY_TYPE = {
    "ec2:CreateSecurityGroup": ("security-group",),
    "ec2:RunInstances": ("instance", "volume"),
}
# A version of a model package has no tags. AWS rejects tags together with a group.
UNTAGGED = ("sagemaker:CreateModelPackage",)

OWN_NAME = re.compile(rf"(^|[:/]){PREFIX}-")
# Identifiers that AWS never assigns: 17 zeros, or a UUID of zeros.
NOTHING = re.compile(r"(i|sg|ami)-0{17}|[0-]{36}")


class RefusedCallError(Exception):
    """A call would change a resource that this run has not created, or incur costs that are not allowed."""


@dataclass
class Calls:
    """The calls of one test, and the identifiers that EC2 has assigned to resources of the run."""

    answers: list[str] = field(default_factory=list)
    made: set[str] = field(default_factory=set)


class Account:
    """An AWS account for the tests; ``client`` returns guarded clients.

    :param costs: Allow resources that AWS bills by time.
    """

    def __init__(self, session: boto3.Session, costs: bool = False) -> None:
        self._session, self._costs = session, costs
        self.calls = Calls()

    def client(self, service: str) -> Any:
        """Return a client that raises :class:`RefusedCallError` for calls that affect resources of others."""
        client = self._session.client(service, config=Config(retries={"mode": "standard"}))
        client.meta.events.register("before-parameter-build", self._before)
        client.meta.events.register("after-call", self._after)
        if service == "s3":
            client.meta.events.register("after-call.s3.CreateBucket", self._tag_bucket(client))
        return client

    def _before(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        service, operation = model.service_model.service_name, model.name
        if operation.startswith(READS):
            return
        call = f"{service}:{operation}"
        named = list(_values(params, IDENTIFIERS.get(service, ())))
        foreign = [name for name in named if not self._is_own(name)]
        if foreign or not named:
            raise RefusedCallError(
                f"{call} is not allowed: {foreign or 'a resource without a name'} was not created by this run."
            )
        if call in COSTLY and not self._costs:
            raise RefusedCallError(
                f"{call} is not allowed: it may cost more than a cent. Set COSTS=1 to allow it."
            )
        _add_tags(call, params, model.input_shape)

    def _is_own(self, name: str) -> bool:
        return bool(OWN_NAME.search(name) or NOTHING.fullmatch(name) or name in self.calls.made)

    def _after(self, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
        error, status = parsed.get("Error"), parsed["ResponseMetadata"].get("HTTPStatusCode")
        outcome = f"{error.get('Code')}: {error.get('Message', '')}" if error else "no error"
        self.calls.answers.append(f"{model.name}: {outcome} (HTTP {status})")
        if model.service_model.service_name == "ec2" and model.name in (
            "RunInstances",
            "CreateSecurityGroup",
        ):
            self.calls.made |= {each["InstanceId"] for each in parsed.get("Instances", [])}
            self.calls.made |= {parsed["GroupId"]} if "GroupId" in parsed else set()

    def _tag_bucket(self, client: Any) -> Callable[..., None]:
        """Tag a bucket with a separate call, since older services and policies do not support tags at creation."""
        names: list[str] = []
        client.meta.events.register(
            "before-parameter-build.s3.CreateBucket", lambda params, **_: names.append(params["Bucket"])
        )

        def tag(parsed: Mapping[str, Any], **_: Any) -> None:
            if "Error" not in parsed:
                client.put_bucket_tagging(Bucket=names[-1], Tagging={"TagSet": [_pair()]})

        return tag


def _pair() -> dict[str, str]:
    return {"Key": TAG[0], "Value": TAG[1]}


def _values(params: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = params.get(name, [])
        yield from [value] if isinstance(value, str) else value


def _add_tags(call: str, params: dict[str, Any], shape: Any) -> None:
    if call in TAGGED_BY_TYPE:
        params["TagSpecifications"] = [
            {"ResourceType": kind, "Tags": [_pair()]} for kind in TAGGED_BY_TYPE[call]
        ]
    makes = call.partition(":")[2].startswith(("Create", "PutMetricAlarm"))
    if not makes or call in UNTAGGED:
        return
    for name in ("Tags", "tags"):
        if name in shape.members:
            of_map = shape.members[name].type_name == "map"
            given = params.get(name, {} if of_map else [])
            params[name] = given | dict([TAG]) if of_map else [*given, _pair()]
