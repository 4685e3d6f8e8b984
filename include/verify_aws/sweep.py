"""Remove from an account what runs have made: only what has their prefix and their tag."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from include.verify_aws.guard import PREFIX, TAG

PAUSE_SECONDS = 5.0
ENDED = ("Completed", "Failed", "Stopped", "Deleting")
# Kind, plural in the operations and in the answers, key of its name, and whether it is a job that leaves a record.
SAGEMAKER = (
    ("tuning job", "hyper_parameter_tuning_job", "HyperParameterTuningJob", True),
    ("training job", "training_job", "TrainingJob", True),
    ("processing job", "processing_job", "ProcessingJob", True),
    ("notebook instance", "notebook_instance", "NotebookInstance", False),
    (
        "lifecycle configuration",
        "notebook_instance_lifecycle_config",
        "NotebookInstanceLifecycleConfig",
        False,
    ),
    ("endpoint", "endpoint", "Endpoint", False),
    ("endpoint configuration", "endpoint_config", "EndpointConfig", False),
    ("model", "model", "Model", False),
    ("model package group", "model_package_group", "ModelPackageGroup", False),
)
JOB_LOGS = {
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "NotebookInstance": "/aws/sagemaker/NotebookInstances",
}


@dataclass(frozen=True)
class Found:
    """Something whose name begins with the prefix.

    :param remove: remove it, or bring it nearer to that; raises ``ClientError`` if AWS refuses, for now or for good.
    """

    kind: str
    name: str
    tagged: bool
    remove: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Swept:
    """What a sweep has removed, what it could not remove, each with the reason, and what it left alone."""

    removed: list[str]
    left: list[str]
    untagged: list[str]


def sweep(client: Callable[[str], Any], seconds: float, tell: Callable[[str], None] = print) -> Swept:
    """Remove everything with prefix and tag, again and again until nothing is found.

    :param seconds: how long to try: an endpoint that is created can't be deleted meanwhile.
    """
    deadline = time.monotonic() + seconds
    tried: dict[str, str] = {}
    """What it was tried to remove, each with the error of the last time."""
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
                tell(f"Removing {each}")
            tried[str(each)] = ""
            try:
                each.remove()
            except ClientError as error:
                tried[str(each)] = str(error)
        time.sleep(PAUSE_SECONDS if any(tried.values()) else 0.5)


def search(client: Callable[[str], Any]) -> tuple[list[Found], list[str]]:
    """Return what has the prefix, in an order in which it can be removed, and where it could not be looked for."""
    found: list[Found] = []
    errors: list[str] = []
    for look, services in LOOKS:
        try:
            for each in look(*(client(service) for service in services)):
                found.append(each)  # also those before an error
        except ClientError as error:
            errors.append(f"{services[0]} could not be searched: {error}")
    return found, errors


def _has_tag(tags: Any) -> bool:
    """Return whether tags, as a list of pairs or as a map, hold the one of the runs."""
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


def _of_sagemaker(kind: str, noun: str, key: str, is_job: bool, sagemaker: Any, logs: Any) -> Iterator[Found]:
    operation = getattr(sagemaker, f"list_{noun}s")
    request: dict[str, Any] = {"NameContains": PREFIX, "MaxResults": 100}
    while True:
        page = operation(**request)
        (items,) = (value for value in page.values() if isinstance(value, list))
        for item in items:
            name = item[f"{key}Name"]
            if not _ours(name):
                continue
            tagged = _has_tag(sagemaker.list_tags(ResourceArn=item[f"{key}Arn"])["Tags"])
            if is_job and not tagged:
                continue  # the record of a job that a tuning job has started: not billed
            yield Found(kind, name, tagged, partial(_remove_of_sagemaker, sagemaker, logs, noun, key, name))
        if "NextToken" not in page:
            return
        request["NextToken"] = page["NextToken"]


def _remove_of_sagemaker(sagemaker: Any, logs: Any, noun: str, key: str, name: str) -> None:
    named = {f"{key}Name": name}
    if noun == "model_package_group":
        for package in _pages(
            sagemaker, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name
        ):
            sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    elif noun.endswith("job"):
        status = getattr(sagemaker, f"describe_{noun}")(**named)[f"{key}Status"]
        if status not in ENDED:
            getattr(sagemaker, f"stop_{noun}")(**named)
            return
    elif noun == "notebook_instance":
        status = sagemaker.describe_notebook_instance(**named)["NotebookInstanceStatus"]
        if status == "InService":
            sagemaker.stop_notebook_instance(**named)
            return
    if noun == "endpoint":
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    if key in JOB_LOGS:
        _remove_log_streams(logs, JOB_LOGS[key], name)
    getattr(sagemaker, f"delete_{noun}")(**named)


def _remove_log_streams(logs: Any, group: str, name: str) -> None:
    with suppress(logs.exceptions.ResourceNotFoundException):
        for stream in _pages(
            logs, "describe_log_streams", "logStreams", logGroupName=group, logStreamNamePrefix=f"{name}/"
        ):
            logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])


def _instances(ec2: Any) -> Iterator[Found]:
    """An instance has no name, but the token of its launch."""
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
        with suppress(ClientError):  # it has no tags, or is in another region, or is being deleted
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
    *((partial(_of_sagemaker, *row), ("sagemaker", "logs")) for row in SAGEMAKER),
    (_instances, ("ec2",)),
    (_functions, ("lambda",)),
    (_topics, ("sns",)),
    (_alarms, ("cloudwatch",)),
    (_log_groups, ("logs",)),
    (_buckets, ("s3",)),
    (_roles, ("iam",)),
]
