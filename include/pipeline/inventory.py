"""What exists of a project: found by its tags, and by name where a service has none or lists them late."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import alarms, ec2_launch, ec2_requests, live, names
from include.pipeline.infrastructure import stack_name
from include.pipeline.settings import Project

RECENT = timedelta(hours=1)
"""How long AWS's index of tags may lag at most. AWS names no limit; minutes are usual."""
Client = Callable[[str], Any]
"""Makes a boto3 client of the service with this name."""

JOBS = {
    "training-job": ("training_job", "TrainingJobName", "TrainingJobStatus"),
    "hyper-parameter-tuning-job": (
        "hyper_parameter_tuning_job",
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobStatus",
    ),
    "processing-job": ("processing_job", "ProcessingJobName", "ProcessingJobStatus"),
}
"""By the kind in an ARN: how boto3 calls a job, its name, and its status."""
RUNNING = {
    "training-job": ("list_training_jobs", "TrainingJobSummaries", "TrainingJob", ("train", "workspace")),
    "hyper-parameter-tuning-job": (
        "list_hyper_parameter_tuning_jobs",
        "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJob",
        ("tune",),
    ),
    "processing-job": (
        "list_processing_jobs",
        "ProcessingJobSummaries",
        "ProcessingJob",
        ("features", "evaluate"),
    ),
}
"""By the kind in an ARN: the operation that lists, the keys of its answer, and what is in a job's name."""
LISTS = {
    "model": ("list_models", "Models", "ModelName"),
    "endpoint-config": ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
}
"""By the kind in an ARN: the operation that lists, the key of its answer, and the key of a name."""
ALARMS_PER_CALL = 100
"""How many names DescribeAlarms takes, by its API reference."""
REGISTRY = "model-package-group"
WORKSPACE = {"notebook-instance", "notebook-instance-lifecycle-config"}
"""The kinds in the ARNs of what a workspace consists of."""

DESCRIBED = {
    "endpoint": ("describe_endpoint", "EndpointName"),
    "endpoint-config": ("describe_endpoint_config", "EndpointConfigName"),
    "model": ("describe_model", "ModelName"),
    "model-package-group": ("describe_model_package_group", "ModelPackageGroupName"),
    "notebook-instance": ("describe_notebook_instance", "NotebookInstanceName"),
    "notebook-instance-lifecycle-config": (
        "describe_notebook_instance_lifecycle_config",
        "NotebookInstanceLifecycleConfigName",
    ),
}
"""By the kind in an ARN of SageMaker's: the operation that describes it, and the key of its name."""
NOT_THERE = ("Could not find", "does not exist", "RecordNotFound", "Requested resource not found")
"""What SageMaker says of what does not exist: it has no one code for that."""
SHARED_LOG_GROUPS = (
    "/aws/sagemaker/TrainingJobs",
    "/aws/sagemaker/ProcessingJobs",
    "/aws/sagemaker/NotebookInstances",
)


def tagged_arns(project: Project, tagging: Any) -> list[str]:
    """The ARNs of all that carries the project's tags."""
    return list(_tagged(tagging, {"project": project.name, "managed-by": "airflow"}))


def still_exists(project: Project, arn: str, client: Client) -> bool:
    """Whether what AWS's index of tags lists is there, and has the project's tags: the index follows late.

    Jobs and instances stay described when they have ended; so of a job the tags count, of an instance its state. What
    this does not know is taken to be there.
    """
    _, _, service, _, _, resource = arn.split(":", 5)
    kind, _, name = resource.partition("/")
    try:
        if service == "sagemaker" and kind in JOBS:
            operation, key, _ = JOBS[kind]
            getattr(client("sagemaker"), f"describe_{operation}")(**{key: name})
            return live.tags(arn, client("sagemaker")).get("project") == project.name
        if service == "sagemaker" and kind in DESCRIBED:
            operation, key = DESCRIBED[kind]
            getattr(client("sagemaker"), operation)(**{key: name})
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
    """How many resources each other project has that Airflow made."""
    found: dict[str, int] = {}
    for tags in _tagged(tagging, {"managed-by": "airflow"}).values():
        other = tags.get("project", "no project")
        if other != project.name:
            found[other] = found.get(other, 0) + 1
    return found


def of_kinds(arns: list[str], kinds: set[str]) -> Iterator[tuple[str, str, str]]:
    """Kind, name and ARN of the SageMaker resources among the ARNs."""
    for arn in arns:
        _, _, service, _, _, resource = arn.split(":", 5)
        kind, _, name = resource.partition("/")
        if service == "sagemaker" and kind in kinds:
            yield kind, name, arn


def jobs(project: Project, client: Client) -> list[tuple[str, str, str]]:
    """Kind, name and ARN of the project's jobs that run, or have their tags still.

    One that was started or has ended recently is found by its name: AWS's index of tags follows with a delay of up to
    minutes.
    """
    arns = tagged_arns(project, client("resourcegroupstaggingapi"))
    found = {arn: (kind, name, arn) for kind, name, arn in of_kinds(arns, set(JOBS))}
    for kind, name, arn in _jobs_by_name(project, client("sagemaker"), StatusEquals="InProgress"):
        found[arn] = (kind, name, arn)
    for kind, name, arn in _jobs_by_name(
        project, client("sagemaker"), LastModifiedTimeAfter=datetime.now(UTC) - RECENT
    ):
        if arn not in found and live.tags(arn, client("sagemaker")).get("project") == project.name:
            found[arn] = (kind, name, arn)
    return [found[arn] for arn in sorted(found)]


def _jobs_by_name(project: Project, sagemaker: Any, **filters: Any) -> Iterator[tuple[str, str, str]]:
    """Kind, name and ARN of the jobs with a name of the project's."""
    for kind, (operation, key, prefix, words) in RUNNING.items():
        pages = sagemaker.get_paginator(operation).paginate(NameContains=f"{project.aws_name}-", **filters)
        for job in (job for page in pages for job in page[key]):
            if is_own(project, job[f"{prefix}Name"], *words):
                yield kind, job[f"{prefix}Name"], job[f"{prefix}Arn"]


def models_or_configs(project: Project, kind: str, client: Client) -> list[str]:
    """The names of the project's models, or endpoint configurations.

    Those that were made a moment ago are found by name, as with :func:`jobs`. Those that only the index of tags still
    lists are left out.
    """
    operation, key, name_key = LISTS[kind]
    word = {"model": "model", "endpoint-config": "config"}[kind]
    pages = client("sagemaker").get_paginator(operation).paginate(NameContains=f"{project.aws_name}-{word}-")
    found = {item[name_key] for page in pages for item in page[key] if is_own(project, item[name_key], word)}
    for _, name, arn in of_kinds(tagged_arns(project, client("resourcegroupstaggingapi")), {kind}):
        if name not in found and still_exists(project, arn, client):
            found.add(name)
    return sorted(found)


def alarm_names(project: Project, client: Client) -> list[str]:
    """The names of the project's CloudWatch alarms: those that it may have, and those with its tags."""
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
    """The state of each EC2 instance of the project by its id; one that is gone is listed for about an hour."""
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
    """The ids of the project's security groups, one in each VPC that it has trained in."""
    answer = ec2.describe_security_groups(
        Filters=[
            {"Name": "group-name", "Values": [ec2_launch.security_group_name(project)]},
            *({"Name": f"tag:{key}", "Values": [value]} for key, value in names.tags(project).items()),
        ]
    )
    return sorted(group["GroupId"] for group in answer["SecurityGroups"])


def notebook_instance(project: Project, sagemaker: Any) -> dict[str, Any] | None:
    """The project's notebook instance, with its ``NotebookInstanceStatus`` and ``InstanceType``; None without one."""
    name = names.workspace_name(project)
    pages = sagemaker.get_paginator("list_notebook_instances").paginate(NameContains=name)
    found = [item for page in pages for item in page["NotebookInstances"]]
    return next((item for item in found if item["NotebookInstanceName"] == name), None)


def warm_pools(project: Project, sagemaker: Any) -> list[str]:
    """The training jobs whose instances are kept waiting, and billed, for the next job."""
    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=f"{project.aws_name}-train-", WarmPoolStatusEquals="Available"
    )
    jobs = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
    return [name for name in jobs if is_own(project, name, "train")]


def model_packages(project: Project, sagemaker: Any) -> list[str] | None:
    """The ARNs of the project's model packages; None where there is no group for them."""
    group = names.model_package_group(project)
    pages = sagemaker.get_paginator("list_model_package_groups").paginate(NameContains=group)
    if not any(
        found["ModelPackageGroupName"] == group
        for page in pages
        for found in page["ModelPackageGroupSummaryList"]
    ):
        return None
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    return [package["ModelPackageArn"] for page in pages for package in page["ModelPackageSummaryList"]]


def log_groups(project: Project) -> list[str]:
    """The log groups that belong to the project alone, there or not."""
    return [
        names.function_log_group(project),
        names.endpoint_log_group(project),
        ec2_requests.log_group(project),
    ]


def log_streams(project: Project, group: str, logs: Any) -> list[str]:
    """The project's log streams in a group that all projects share; none where there is no group."""
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, logStreamNamePrefix=f"{project.aws_name}-"
    )
    try:
        streams = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    words = ("features", "evaluate", "train", "tune", "workspace")
    notebook = f"{names.workspace_name(project)}/"
    return [name for name in streams if is_own(project, name, *words) or name.startswith(notebook)]


def look(project: Project, client: Client, bucket: str | None) -> list[dict[str, str]]:
    """All that exists of a project, as rows of ``what`` and ``name``, in the order in which a teardown takes it.

    :param bucket: the stack's bucket, where its data is; None where there is no stack.
    """
    rows: list[tuple[str, str]] = []
    sagemaker = client("sagemaker")
    rows += [("job", f"{kind} {name}") for kind, name, _ in jobs(project, client)]
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
        ("endpoint configuration", name) for name in models_or_configs(project, "endpoint-config", client)
    ]
    rows += [("model", name) for name in models_or_configs(project, "model", client)]
    rows += [("alarm", name) for name in alarm_names(project, client)]
    packages = model_packages(project, sagemaker)
    if packages is not None:
        rows.append(("registry", f"{names.model_package_group(project)} with {len(packages)} model packages"))
    if bucket and (objects := count_objects(project, bucket, client("s3"))):
        rows.append(("data", f"{names.project_uri(bucket, project)}/ with {objects} objects"))
    rows += [("logs", text) for text in _logs(project, client("logs"))]
    if bucket:
        rows.append(("infrastructure", f"stack {stack_name()}"))
    return [{"what": what, "name": name} for what, name in rows]


def count_objects(project: Project, bucket: str, s3: Any) -> int:
    """How many objects the project has in the bucket."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{project.name}/")
    return sum(page["KeyCount"] for page in pages)


def is_own(project: Project, name: str, *words: str) -> bool:
    """Whether a name is one that :mod:`include.pipeline.names` gives: `dog-train-…` may be project `dog_train`'s."""
    return (
        re.match(rf"{project.aws_name}-(?:{'|'.join(words)})-[0-9a-f]{{8,12}}(?![0-9a-z])", name) is not None
    )


def _tagged(tagging: Any, wanted: dict[str, str]) -> dict[str, dict[str, str]]:
    """The tags of all that has these, by ARN."""
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
    pages = sagemaker.get_paginator("list_notebook_instance_lifecycle_configs").paginate(NameContains=name)
    for config in (item for page in pages for item in page["NotebookInstanceLifecycleConfigs"]):
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
