"""List the AWS resources of a project by their tags, and by name if a service has no tags or indexes them late."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from include.aws.documents import AwsAnswer
from include.pipeline import alarms, ec2_launch, ec2_requests, live, names, resource_kinds
from include.pipeline.infrastructure import stack_name
from include.pipeline.resource_kinds import SageMakerKind
from include.pipeline.results import Resource
from include.pipeline.settings import Project

RECENT = timedelta(hours=1)
"""The assumed maximum delay of AWS's tag index. AWS documents no limit; minutes are usual."""
Client = Callable[[str], Any]
"""Returns a boto3 client for the service with the given name."""

ALARMS_PER_CALL = 100
"""The maximum number of names in one DescribeAlarms call, by its API reference."""
NOT_THERE = ("Could not find", "does not exist", "RecordNotFound", "Requested resource not found")
"""Texts in SageMaker's errors for a resource that does not exist. SageMaker has no single code for that."""
SHARED_LOG_GROUPS = (
    "/aws/sagemaker/TrainingJobs",
    "/aws/sagemaker/ProcessingJobs",
    "/aws/sagemaker/NotebookInstances",
)


@dataclass(frozen=True)
class Found:
    """A SageMaker resource of a project."""

    kind: SageMakerKind
    name: str
    arn: str

    def __str__(self) -> str:
        return f"{self.kind.in_arn} {self.name}"


def tagged_arns(project: Project, tagging: Any) -> list[str]:
    """Return the ARNs of all resources with the project's tags."""
    return list(_tagged(tagging, {"project": project.name, "managed-by": "airflow"}))


def still_exists(project: Project, arn: str, client: Client) -> bool:
    """Return whether a resource in AWS's tag index still exists and has the project's tags: the index is delayed.

    AWS still describes jobs and instances after their end. The tags count for a job, the state for an instance. A
    resource of an unknown kind is assumed to exist.
    """
    _, _, service, _, _, resource = arn.split(":", 5)
    kind, _, name = resource.partition("/")
    try:
        if service == "sagemaker" and kind in resource_kinds.BY_ARN:
            resource_kinds.BY_ARN[kind].describe(name, client("sagemaker"))
            if resource_kinds.BY_ARN[kind].is_job:
                return live.tags(arn, client("sagemaker")).get("project") == project.name
        elif service == "lambda":
            client("lambda").get_function_configuration(FunctionName=arn)
        elif service == "cloudwatch":
            alarm = resource.partition(":")[2]
            return bool(client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"])
        elif service == "ec2" and kind == "instance":
            return instances(project, client("ec2")).get(name, "terminated") != "terminated"
        elif service == "ec2" and kind == "security-group":
            return name in security_groups(project, client("ec2"))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("ResourceNotFound", "ResourceNotFoundException"):
            return False
        if code == "ValidationException" and any(text in str(error) for text in NOT_THERE):
            return False
        raise
    return True


def other_projects(project: Project, tagging: Any) -> dict[str, int]:
    """Return the number of resources that Airflow created for each other project."""
    found: dict[str, int] = {}
    for tags in _tagged(tagging, {"managed-by": "airflow"}).values():
        other = tags.get("project", "no project")
        if other != project.name:
            found[other] = found.get(other, 0) + 1
    return found


def of_kinds(arns: list[str], *kinds: SageMakerKind) -> Iterator[Found]:
    """Yield the SageMaker resources of these kinds among the ARNs."""
    for arn in arns:
        _, _, service, _, _, resource = arn.split(":", 5)
        in_arn, _, name = resource.partition("/")
        kind = resource_kinds.BY_ARN.get(in_arn)
        if service == "sagemaker" and kind in kinds:
            yield Found(kind, name, arn)


def jobs(project: Project, client: Client) -> list[Found]:
    """Return the project's jobs that are running or still have their tags.

    Jobs that started or ended recently are found by name, because AWS's tag index is delayed by up to minutes.
    """
    sagemaker, arns = client("sagemaker"), tagged_arns(project, client("resourcegroupstaggingapi"))
    found = {job.arn: job for job in of_kinds(arns, *resource_kinds.JOBS)}
    found |= {job.arn: job for job in _jobs_by_name(project, sagemaker, StatusEquals="InProgress")}
    for job in _jobs_by_name(project, sagemaker, LastModifiedTimeAfter=datetime.now(UTC) - RECENT):
        if job.arn not in found and live.tags(job.arn, sagemaker).get("project") == project.name:
            found[job.arn] = job
    return [found[arn] for arn in sorted(found)]


def _jobs_by_name(project: Project, sagemaker: Any, **filters: Any) -> Iterator[Found]:
    """Yield the jobs whose name belongs to the project."""
    for kind in resource_kinds.JOBS:
        for job in kind.rows(sagemaker, NameContains=f"{project.aws_name}-", **filters):
            if is_own(project, kind.name_of(job), *kind.steps):
                yield Found(kind, kind.name_of(job), kind.arn_of(job))


def models_or_configs(project: Project, kind: SageMakerKind, client: Client) -> list[str]:
    """Return the names of the project's models or endpoint configurations.

    New ones are found by name, as in :func:`jobs`. Deleted ones that the tag index still lists are left out.
    """
    (word,) = kind.steps
    rows = kind.rows(client("sagemaker"), NameContains=f"{project.aws_name}-{word}-")
    found = {name for name in map(kind.name_of, rows) if is_own(project, name, word)}
    for each in of_kinds(tagged_arns(project, client("resourcegroupstaggingapi")), kind):
        if each.name not in found and still_exists(project, each.arn, client):
            found.add(each.name)
    return sorted(found)


def alarm_names(project: Project, client: Client) -> list[str]:
    """Return the names of the project's CloudWatch alarms, found by name and by tags."""
    tagged = [
        arn.split(":alarm:", 1)[1]
        for arn in tagged_arns(project, client("resourcegroupstaggingapi"))
        if ":alarm:" in arn
    ]
    candidates = sorted({*tagged, *alarms.alarm_names(project)})
    answers = (
        client("cloudwatch").describe_alarms(AlarmNames=candidates[start : start + ALARMS_PER_CALL])
        for start in range(0, len(candidates), ALARMS_PER_CALL)
    )
    return [alarm["AlarmName"] for answer in answers for alarm in answer["MetricAlarms"]]


def instances(project: Project, ec2: Any) -> dict[str, str]:
    """Return the state of each EC2 instance of the project by its ID. EC2 lists terminated ones for about an hour."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": f"tag:{key}", "Values": [value]} for key, value in names.tags(project).items()]
    )
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def security_groups(project: Project, ec2: Any) -> list[str]:
    """Return the IDs of the project's security groups, one in each VPC that it has trained in."""
    answer = ec2.describe_security_groups(
        Filters=[
            {"Name": "group-name", "Values": [ec2_launch.security_group_name(project)]},
            *({"Name": f"tag:{key}", "Values": [value]} for key, value in names.tags(project).items()),
        ]
    )
    return sorted(group["GroupId"] for group in answer["SecurityGroups"])


def notebook_instance(project: Project, sagemaker: Any) -> AwsAnswer | None:
    """Return the project's notebook instance, with ``NotebookInstanceStatus`` and ``InstanceType``, or None."""
    name = names.workspace_name(project)
    found = resource_kinds.NOTEBOOK.rows(sagemaker, NameContains=name)
    return next((item for item in found if item["NotebookInstanceName"] == name), None)


def warm_pools(project: Project, sagemaker: Any) -> list[str]:
    """Return the training jobs whose instances are kept in a warm pool, and billed, for the next job."""
    jobs = resource_kinds.TRAINING.rows(
        sagemaker, NameContains=f"{project.aws_name}-train-", WarmPoolStatusEquals="Available"
    )
    return [name for job in jobs if is_own(project, name := job["TrainingJobName"], "train")]


def model_packages(project: Project, sagemaker: Any) -> list[str] | None:
    """Return the ARNs of the project's model packages; None if their group does not exist."""
    group = names.model_package_group(project)
    groups = resource_kinds.REGISTRY.rows(sagemaker, NameContains=group)
    if not any(found["ModelPackageGroupName"] == group for found in groups):
        return None
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    return [package["ModelPackageArn"] for page in pages for package in page["ModelPackageSummaryList"]]


def log_groups(project: Project) -> list[str]:
    """Return the names of the log groups that belong to the project alone, whether they exist or not."""
    return [
        names.function_log_group(project),
        names.endpoint_log_group(project),
        ec2_requests.log_group(project),
    ]


def log_streams(project: Project, group: str, logs: Any) -> list[str]:
    """Return the project's log streams in a group that all projects share; none if the group does not exist."""
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, logStreamNamePrefix=f"{project.aws_name}-"
    )
    try:
        streams = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    notebook = f"{names.workspace_name(project)}/"
    return [
        name
        for name in streams
        if is_own(project, name, *resource_kinds.JOB_OF_STEP) or name.startswith(notebook)
    ]


def list_resources(project: Project, client: Client, bucket: str | None) -> list[Resource]:
    """Return all resources of a project in the order of a teardown.

    :param bucket: the stack's bucket with the project's data; None if the stack does not exist.
    """
    rows: list[tuple[str, str]] = []
    sagemaker = client("sagemaker")
    rows += [("job", str(job)) for job in jobs(project, client)]
    rows += [("warm pool", name) for name in warm_pools(project, sagemaker)]
    rows += [("workspace", text) for text in _workspace(project, sagemaker)]
    rows += [
        ("instance", f"{name} ({state})")
        for name, state in instances(project, client("ec2")).items()
        if state != "terminated"
    ]
    rows += [("security group", group) for group in security_groups(project, client("ec2"))]
    rows += [("function", names.function_name(project))] * _has_function(project, client("lambda"))
    rows += [("scaling", target) for target in _scalable_targets(project, client("application-autoscaling"))]
    if live.endpoint_status(project, sagemaker):
        rows.append(("endpoint", names.endpoint_name(project)))
    rows += [
        ("endpoint configuration", name)
        for name in models_or_configs(project, resource_kinds.ENDPOINT_CONFIG, client)
    ]
    rows += [("model", name) for name in models_or_configs(project, resource_kinds.MODEL, client)]
    rows += [("alarm", name) for name in alarm_names(project, client)]
    packages = model_packages(project, sagemaker)
    if packages is not None:
        rows.append(("registry", f"{names.model_package_group(project)} with {len(packages)} model packages"))
    if bucket and (objects := count_objects(project, bucket, client("s3"))):
        rows.append(("data", f"{names.project_uri(bucket, project)}/ with {objects} objects"))
    rows += [("logs", text) for text in _logs(project, client("logs"))]
    if bucket:
        rows.append(("infrastructure", f"stack {stack_name()}"))
    return [Resource(what=what, name=name) for what, name in rows]


def count_objects(project: Project, bucket: str, s3: Any) -> int:
    """Return the number of objects that the project has in the bucket."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{project.name}/")
    return sum(page["KeyCount"] for page in pages)


def is_own(project: Project, name: str, *words: str) -> bool:
    """Return whether :mod:`include.pipeline.names` makes such a name. ``dog-train-…`` may belong to ``dog_train``."""
    return (
        re.match(rf"{project.aws_name}-(?:{'|'.join(words)})-[0-9a-f]{{8,12}}(?![0-9a-z])", name) is not None
    )


def _tagged(tagging: Any, wanted: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return all tags of the resources with the wanted tags, by ARN."""
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": key, "Values": [value]} for key, value in wanted.items()]
    )
    found = {
        item["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in item["Tags"]}
        for page in pages
        for item in page["ResourceTagMappingList"]
    }
    return dict(sorted(found.items()))


def _workspace(project: Project, sagemaker: Any) -> Iterator[str]:
    if instance := notebook_instance(project, sagemaker):
        status = instance["NotebookInstanceStatus"]
        yield f"notebook instance {instance['NotebookInstanceName']} ({status}) with the files on it"
    name = names.workspace_name(project)
    for config in resource_kinds.LIFECYCLE.rows(sagemaker, NameContains=name):
        if config["NotebookInstanceLifecycleConfigName"] == name:
            yield f"lifecycle configuration {name}"


def _has_function(project: Project, lambda_client: Any) -> bool:
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.get_function_configuration(FunctionName=names.function_name(project))
        return True
    return False


def _scalable_targets(project: Project, autoscaling: Any) -> list[str]:
    answer = autoscaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[names.scaling_resource_id(project)]
    )
    return [target["ResourceId"] for target in answer["ScalableTargets"]]


def _logs(project: Project, logs: Any) -> Iterator[str]:
    for group in log_groups(project):
        with suppress(ClientError):
            logs.describe_log_streams(logGroupName=group, limit=1)
            yield f"group {group}"
    for group in SHARED_LOG_GROUPS:
        if streams := log_streams(project, group, logs):
            yield f"{len(streams)} streams in {group}"
