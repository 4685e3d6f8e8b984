"""Remove the resources of runs from an account: only resources with the prefix and the tag."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import resource_kinds
from include.pipeline.resource_kinds import SageMakerKind
from include.verify_aws.guard import PREFIX, TAG

PAUSE_SECONDS = 5.0
ENDED = ("Completed", "Failed", "Stopped", "Deleting")
JOB_LOGS = {
    resource_kinds.TRAINING: "/aws/sagemaker/TrainingJobs",
    resource_kinds.PROCESSING: "/aws/sagemaker/ProcessingJobs",
    resource_kinds.NOTEBOOK: "/aws/sagemaker/NotebookInstances",
}


@dataclass(frozen=True)
class Found:
    """A resource whose name has the prefix.

    :param remove: Remove it, or do a step towards that; raise ``ClientError`` if AWS rejects it now or permanently.
    """

    kind: str
    name: str
    tagged: bool
    remove: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Swept:
    """The resources that a sweep has removed, those that it could not remove, with the reason, and those it ignored."""

    removed: list[str]
    left: list[str]
    untagged: list[str]


def sweep(client: Callable[[str], Any], seconds: float, report: Callable[[str], None] = print) -> Swept:
    """Remove all resources with the prefix and the tag, and repeat until none is found.

    :param seconds: How long to try, since an endpoint can't be deleted while it is being created.
    """
    deadline = time.monotonic() + seconds
    tried: dict[str, str] = {}
    """The resources that could not be removed, each with the last error."""
    while True:
        found, errors = search(client)
        left = [each for each in found if each.tagged]
        if not left or (tried and time.monotonic() > deadline):
            remaining = {str(each): tried.get(str(each)) or "It still exists." for each in left}
            return Swept(
                [name for name in tried if name not in remaining],
                [*(f"{name}: {reason}" for name, reason in remaining.items()), *errors],
                [str(each) for each in found if not each.tagged],
            )
        for each in left:
            if str(each) not in tried:
                report(f"Removing {each}")
            tried[str(each)] = ""
            try:
                each.remove()
            except ClientError as error:
                tried[str(each)] = str(error)
        time.sleep(PAUSE_SECONDS if any(tried.values()) else 0.5)


def search(client: Callable[[str], Any]) -> tuple[list[Found], list[str]]:
    """Return the resources with the prefix, in the order of their removal, and the errors of failed searches."""
    found: list[Found] = []
    errors: list[str] = []
    for look, services in LOOKS:
        try:
            for each in look(*(client(service) for service in services)):
                found.append(each)  # including those before an error
        except ClientError as error:
            errors.append(f"{services[0]} could not be searched: {error}")
    return found, errors


def _has_tag(tags: Any) -> bool:
    """Return whether the tags, as a list of pairs or as a map, include the tag of the runs."""
    if not isinstance(tags, Mapping):
        tags = {each["Key"]: each["Value"] for each in tags}
    return bool(tags.get(TAG[0]) == TAG[1])


def _pages(client: Any, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**parameters):
        yield from page.get(key, [])


def _ours(name: str) -> bool:
    return name.startswith(f"{PREFIX}-")


def _stacks(cloudformation: Any) -> Iterator[Found]:
    for stack in _pages(cloudformation, "describe_stacks", "Stacks"):
        name = stack["StackName"]
        if _ours(name) and stack["StackStatus"] != "DELETE_COMPLETE":
            yield Found(
                "stack",
                name,
                _has_tag(stack.get("Tags", [])),
                partial(cloudformation.delete_stack, StackName=name),
            )


def _of_sagemaker(kind: SageMakerKind, sagemaker: Any, logs: Any) -> Iterator[Found]:
    for item in kind.rows(sagemaker, NameContains=PREFIX):
        name = kind.name_of(item)
        if not _ours(name):
            continue
        tagged = _has_tag(sagemaker.list_tags(ResourceArn=kind.arn_of(item))["Tags"])
        if kind.is_job and not tagged:
            continue  # the record of a tuning job's trial, which is not billed
        yield Found(kind.title, name, tagged, partial(_remove_of_sagemaker, kind, name, sagemaker, logs))


def _remove_of_sagemaker(kind: SageMakerKind, name: str, sagemaker: Any, logs: Any) -> None:
    if kind == resource_kinds.REGISTRY:
        for package in _pages(
            sagemaker, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name
        ):
            sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    elif kind.is_job:
        if kind.status_of(kind.describe(name, sagemaker)) not in ENDED:
            kind.stop(name, sagemaker)
            return
    elif kind == resource_kinds.NOTEBOOK:
        if kind.status_of(kind.describe(name, sagemaker)) == "InService":
            kind.stop(name, sagemaker)
            return
    elif kind == resource_kinds.ENDPOINT:
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    if kind in JOB_LOGS:
        _remove_log_streams(logs, JOB_LOGS[kind], name)
    kind.delete(name, sagemaker)


def _remove_log_streams(logs: Any, group: str, name: str) -> None:
    with suppress(logs.exceptions.ResourceNotFoundException):
        for stream in _pages(
            logs, "describe_log_streams", "logStreams", logGroupName=group, logStreamNamePrefix=f"{name}/"
        ):
            logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])


def _instances(ec2: Any) -> Iterator[Found]:
    """Find instances by the client token of their launch, since instances have no name."""
    filters = [
        {"Name": f"tag:{TAG[0]}", "Values": [TAG[1]]},
        {
            "Name": "instance-state-name",
            "Values": ["pending", "running", "stopping", "stopped", "shutting-down"],
        },
    ]
    for reservation in _pages(ec2, "describe_instances", "Reservations", Filters=filters):
        for instance in reservation["Instances"]:
            if _ours(instance.get("ClientToken", "")):
                found = instance["InstanceId"]
                yield Found(
                    "instance",
                    found,
                    _has_tag(instance.get("Tags", [])),
                    partial(ec2.terminate_instances, InstanceIds=[found]),
                )
    named = [{"Name": "group-name", "Values": [f"{PREFIX}-*"]}]
    for group in _pages(ec2, "describe_security_groups", "SecurityGroups", Filters=named):
        yield Found(
            "security group",
            group["GroupName"],
            _has_tag(group.get("Tags", [])),
            partial(ec2.delete_security_group, GroupId=group["GroupId"]),
        )


def _functions(functions: Any) -> Iterator[Found]:
    for function in _pages(functions, "list_functions", "Functions"):
        name = function["FunctionName"]
        if _ours(name):
            yield Found(
                "function",
                name,
                _has_tag(functions.list_tags(Resource=function["FunctionArn"]).get("Tags", {})),
                partial(functions.delete_function, FunctionName=name),
            )


def _topics(sns: Any) -> Iterator[Found]:
    for topic in _pages(sns, "list_topics", "Topics"):
        arn = topic["TopicArn"]
        name = arn.rpartition(":")[2]
        if _ours(name):
            yield Found(
                "topic",
                name,
                _has_tag(sns.list_tags_for_resource(ResourceArn=arn)["Tags"]),
                partial(sns.delete_topic, TopicArn=arn),
            )


def _alarms(cloudwatch: Any) -> Iterator[Found]:
    for alarm in _pages(cloudwatch, "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{PREFIX}-"):
        name = alarm["AlarmName"]
        yield Found(
            "alarm",
            name,
            _has_tag(cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]),
            partial(cloudwatch.delete_alarms, AlarmNames=[name]),
        )


def _log_groups(logs: Any) -> Iterator[Found]:
    for group in _pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=f"{PREFIX}-"):
        name = group["logGroupName"]
        tags = logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
        yield Found("log group", name, _has_tag(tags), partial(logs.delete_log_group, logGroupName=name))


def _buckets(s3: Any) -> Iterator[Found]:
    for bucket in s3.list_buckets(Prefix=f"{PREFIX}-")["Buckets"]:
        name = bucket["Name"]
        tags: list[Any] = []
        with suppress(ClientError):  # the bucket has no tags, is in another region, or is being deleted
            tags = s3.get_bucket_tagging(Bucket=name)["TagSet"]
        yield Found("bucket", name, _has_tag(tags), partial(_remove_bucket, s3, name))


def _remove_bucket(s3: Any, name: str) -> None:
    for item in _pages(s3, "list_objects_v2", "Contents", Bucket=name):
        s3.delete_object(Bucket=name, Key=item["Key"])
    for upload in _pages(s3, "list_multipart_uploads", "Uploads", Bucket=name):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    s3.delete_bucket(Bucket=name)


def _roles(iam: Any) -> Iterator[Found]:
    for role in _pages(iam, "list_roles", "Roles"):
        name = role["RoleName"]
        if _ours(name):
            yield Found(
                "role",
                name,
                _has_tag(iam.list_role_tags(RoleName=name)["Tags"]),
                partial(_remove_role, iam, name),
            )


def _remove_role(iam: Any, name: str) -> None:
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


LOOKS: list[tuple[Callable[..., Iterable[Found]], tuple[str, ...]]] = [
    (_stacks, ("cloudformation",)),
    *((partial(_of_sagemaker, kind), ("sagemaker", "logs")) for kind in resource_kinds.SAGEMAKER),
    (_instances, ("ec2",)),
    (_functions, ("lambda",)),
    (_topics, ("sns",)),
    (_alarms, ("cloudwatch",)),
    (_log_groups, ("logs",)),
    (_buckets, ("s3",)),
    (_roles, ("iam",)),
]
