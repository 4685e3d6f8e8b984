"""Delete the resources of a project that AWS bills while they exist, in order of their dependencies; repeatable."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from include.aws.documents import AwsAnswer
from include.pipeline import infrastructure, live, names, resource_kinds
from include.pipeline.errors import PermanentError
from include.pipeline.infrastructure import stack_name
from include.pipeline.inventory import (
    SHARED_LOG_GROUPS,
    Client,
    Found,
    alarm_names,
    instances,
    jobs,
    log_groups,
    log_streams,
    model_packages,
    of_kinds,
    other_projects,
    security_groups,
    still_exists,
    tagged_arns,
    warm_pools,
)
from include.pipeline.names import VARIANT, endpoint_name, project_uri, split_s3_uri
from include.pipeline.results import PlannedResource
from include.pipeline.settings import Project
from include.pipeline.waiting import WAIT_SECONDS, StepState

log = logging.getLogger(__name__)

INTERFACES_SECONDS = 900
# AWS's tag index reflects deletions with a delay of seconds to minutes.
TAGS_SECONDS = 180
# SageMaker may show a training job as completed before it shows the job's warm pool.
POOL_SECONDS = 60

Progress = Callable[[str], None]


class TeardownError(RuntimeError):
    """Raised if a resource could not be deleted now; the message says which, and why."""


class RefusedError(PermanentError):
    """Raised if a teardown must not start; the message says what to do first. Nothing was deleted."""


class LeftError(PermanentError):
    """Raised if a teardown has finished but not deleted everything; the message says what is left, and why."""


@dataclass(frozen=True)
class Options:
    """What a teardown deletes besides the resources that are billed while they exist, from the params of a run."""

    delete_workspace: bool = True
    delete_data: bool = False
    delete_registry: bool = False
    delete_logs: bool = False
    delete_infrastructure: bool = False

    @classmethod
    def of(cls, params: Any) -> Options:
        """Return the options among the params of a run."""
        return cls(**{field.name: bool(params[field.name]) for field in fields(cls)})


def planned_action(what: str, options: Options) -> str:
    """Return what a teardown does with a resource.

    :param what: the kind in the result of :func:`include.pipeline.inventory.list_resources`.
    """
    removal = resource_kinds.REMOVALS[what]
    if removal.option and not getattr(options, removal.option):
        return f"stays, because {removal.option} is off"
    return removal.then


def verdict(project: Project, rows: list[PlannedResource], *, dry_run: bool) -> str:
    """Return what a teardown does with the existing resources, in one sentence."""
    kept = sum(row.then.startswith("stays") for row in rows)
    if not rows:
        return f"{project.name} has no resources."
    count = f"{len(rows)} resources of {project.name} exist"
    going = len(rows) - kept
    if dry_run:
        return f"Dry run, nothing is deleted: {count}. A teardown deletes or stops {going} and keeps {kept}."
    return f"{count}. If this run is confirmed, it deletes or stops {going} and keeps {kept}."


def show(rows: list[PlannedResource]) -> list[str]:
    """Return the rows as lines for a log, whose page is too narrow for columns."""
    return [f"{row.what} {row.name}: {row.then}" for row in rows]


def dry_run_reason(project: Project, confirm: str | None) -> str:
    """Return why a dry run deletes nothing, and what to do to delete.

    :param confirm: the param ``confirm`` of the run.
    """
    reason = "Dry run, nothing is deleted: the log of the task find lists what a teardown deletes."
    if confirm:
        return f"{reason} The field Confirm is filled in, but Dry run is on: switch it off to delete."
    return f"{reason} To delete, switch Dry run off and type the project's name, {project.name}, in Confirm."


def check_request(project: Project, confirm: str | None, releases: int) -> None:
    """Check that a person has confirmed the teardown, and that no other run creates new resources.

    :param confirm: the param ``confirm`` of the run.
    :param releases: the number of running or queued runs of ``train_and_deploy``, ``rollback`` and ``workspace``.
    :raises RefusedError: if the teardown is not confirmed, or there are such runs.
    """
    if confirm != project.name:
        found = f"Confirm is {confirm!r}" if confirm else "Confirm is empty"
        raise RefusedError(
            f"Nothing was deleted: {found}. To delete the resources of {project.name}, type the project's name, "
            f"{project.name}, in Confirm. To only list them, switch Dry run on."
        )
    if releases:
        raise RefusedError(
            f"Nothing was deleted: {_under_way(project, releases)} Then trigger this DAG again."
        )


def refusals(project: Project, releases: int, options: Options, client: Client) -> list[str]:
    """Return why a teardown, or a part of it, would be refused now. A dry run reports this.

    :param releases: see :func:`check_request`.
    """
    others = _needed_by_others(project, client) if options.delete_infrastructure else None
    refused = [_under_way(project, releases)] if releases else []
    return refused + ([others] if others else [])


def _under_way(project: Project, releases: int) -> str:
    return (
        f"{releases} runs of {project.name}.train_and_deploy, rollback or workspace are running or queued, and would "
        "create the deleted resources again. Mark them as failed in Airflow, or wait until they finish."
    )


def _needed_by_others(project: Project, client: Client) -> str | None:
    others = other_projects(project, client("resourcegroupstaggingapi"))
    if not others:
        return None
    listed = ", ".join(f"{other} ({count} resources)" for other, count in sorted(others.items()))
    return f"Stack {stack_name()} stays, because other projects need it: {listed}. Tear those down first."


def reason_to_keep(
    project: Project, releases: int, client: Client, now: datetime | None = None
) -> str | None:
    """Return why a scheduled teardown keeps the endpoint, in one sentence, or None if it deletes the endpoint.

    :param releases: see :func:`check_request`.
    """
    hours, name, now = project.endpoint.ttl_hours or 0.0, endpoint_name(project), now or datetime.now(UTC)
    if releases:
        return f"A run of {project.name}.train_and_deploy, rollback or workspace is running or queued."
    if (status := live.endpoint_status(project, client("sagemaker"))) is None:
        return f"Endpoint {name} does not exist."
    if status != "InService":
        return f"Endpoint {name} is {status}."
    changed = client("sagemaker").describe_endpoint(EndpointName=name)["LastModifiedTime"]
    if now - changed < timedelta(hours=hours):
        return (
            f"Endpoint {name} was created or changed at {changed:%Y-%m-%d %H:%M}, less than {hours:g} h ago."
        )
    answer = client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": VARIANT}],
        StartTime=now - timedelta(hours=hours),
        EndTime=now,
        Period=3600 if hours > 1 else 60,
        Statistics=["Sum"],
    )
    invocations = sum(point["Sum"] for point in answer["Datapoints"])
    if invocations:
        return f"Endpoint {name} was invoked {invocations:.0f} times in the last {hours:g} h."
    return None


def stop_jobs(project: Project, client: Client, state: StepState, progress: Progress = log.info) -> int:
    """Stop running jobs, wait until they have stopped, end warm pools, and remove the tags of all ended jobs.

    The record of a job costs nothing, and a later run can use its result. Without its tags, it is no longer listed
    among the project's resources.

    :return: the number of jobs.
    """
    sagemaker = client("sagemaker")
    found = jobs(project, client)
    for job in found:
        if _job_status(job, sagemaker) == "InProgress":
            progress(f"Stopping {job}.")
            try:
                job.kind.stop(job.name, sagemaker)
            except ClientError as error:
                ended = error.response["Error"]["Code"] == "ValidationException"
                if not ended and not live.is_missing(error):
                    raise
    for job in found:
        if _job_status(job, sagemaker) in ("InProgress", "Stopping"):
            _wait(state, f"{job} to stop")
    if any(job.kind == resource_kinds.TRAINING and _may_get_warm_pool(job, sagemaker) for job in found):
        _wait(state, "the warm pools of the jobs that have just ended")
    # Before the tags are removed, because the permission to change a job depends on them.
    end_warm_pools(project, sagemaker, state, progress)
    for job in found:
        try:
            sagemaker.delete_tags(ResourceArn=job.arn, TagKeys=["project", "managed-by"])
        except ClientError as error:
            if not live.is_missing(error):  # somebody has deleted the job's record
                raise
    return len(found)


def end_warm_pools(project: Project, sagemaker: Any, state: StepState, progress: Progress = log.info) -> None:
    """End the warm pools, and wait until they have ended."""

    def end(name: str) -> None:
        progress(f"Ending the warm pool of {name}.")
        try:
            sagemaker.update_training_job(
                TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
            )
        except ClientError as error:
            # Otherwise, the pool has expired in the meantime.
            if error.response["Error"]["Code"] != "ValidationException":
                raise

    for name in warm_pools(project, sagemaker):
        state.once(f"end the warm pool of {name}", lambda name=name: end(name))  # type: ignore[misc]
    if warm_pools(project, sagemaker):
        _wait(state, "the warm pools to end")


def terminate_instances(project: Project, ec2: Any, state: StepState, progress: Progress = log.info) -> int:
    """Terminate the training instances on EC2, wait until they are terminated, and delete their security groups.

    :return: the number of terminated instances.
    """

    def find() -> list[str]:
        found = [name for name, status in instances(project, ec2).items() if status != "terminated"]
        if found:
            progress(f"Terminating {', '.join(found)}.")
        return found

    found = state.once("find", find)
    if found and not _are_terminated(project, ec2):
        _wait(state, f"{', '.join(found)} to be terminated")
    for group in security_groups(project, ec2):
        # A network interface outlives its instance, often for minutes.
        if not _delete_security_group(group, ec2):
            _wait(state, f"security group {group} to be free of network interfaces", INTERFACES_SECONDS)
    return len(found)


def _are_terminated(project: Project, ec2: Any) -> bool:
    """Terminate the remaining instances, and return whether all are terminated.

    EC2 may list an instance before it can terminate it.
    """
    found = instances(project, ec2)
    if left := [name for name, state in found.items() if state not in ("shutting-down", "terminated")]:
        terminate(left, ec2)
        return False
    return set(found.values()) <= {"terminated"}


def terminate(instance_ids: list[str], ec2: Any) -> None:
    """Terminate instances, one by one if one does not exist, because EC2 then terminates none of them."""
    try:
        ec2.terminate_instances(InstanceIds=instance_ids)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        if len(instance_ids) > 1:
            for each in instance_ids:
                terminate([each], ec2)


def _delete_security_group(group: str, ec2: Any) -> bool:
    """Delete a security group; return False if it is still in use."""
    try:
        ec2.delete_security_group(GroupId=group)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("InvalidGroup.NotFound", "DependencyViolation"):
            raise
        return bool(code == "InvalidGroup.NotFound")
    return True


def delete_alarms(project: Project, client: Client) -> int:
    """Delete the project's CloudWatch alarms, and return their number."""
    found = alarm_names(project, client)
    if found:
        client("cloudwatch").delete_alarms(AlarmNames=found)
    return len(found)


def delete_registry(project: Project, sagemaker: Any) -> int:
    """Delete the project's model packages, then their group, and return the number of packages."""
    packages = model_packages(project, sagemaker)
    for arn in packages or []:
        sagemaker.delete_model_package(ModelPackageName=arn)
    if packages is not None:
        sagemaker.delete_model_package_group(ModelPackageGroupName=names.model_package_group(project))
    return len(packages or [])


def delete_data(project: Project, bucket: str, s3: Any) -> int:
    """Delete all objects below the project's prefix in the bucket, and return their number."""
    target, prefix = split_s3_uri(f"{project_uri(bucket, project)}/")
    deleted = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=target, Prefix=prefix):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            answer = s3.delete_objects(Bucket=target, Delete={"Objects": keys, "Quiet": True})
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise TeardownError(
                    f"{len(answer['Errors'])} objects can't be deleted, including {first['Key']}: {first['Message']}"
                )
            deleted += len(keys)
    return deleted


def delete_logs(project: Project, logs: Any) -> int:
    """Delete the logs of the project's function, endpoint and jobs, and return the number of groups and streams."""
    deleted = 0
    for group in log_groups(project):
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=group)
            deleted += 1
    for group in SHARED_LOG_GROUPS:
        for stream in log_streams(project, group, logs):
            logs.delete_log_stream(logGroupName=group, logStreamName=stream)
            deleted += 1
    return deleted


def delete_infrastructure(project: Project, client: Client, state: StepState) -> str:
    """Delete the CloudFormation stack if no other project needs it. The bucket and its objects stay.

    :return: what was done, in one sentence.
    :raises RefusedError: if another project has resources, or Airflow may not delete the stack.
    :raises TeardownError: if CloudFormation can't delete the stack; the message has its reason.
    """
    name, cloudformation = stack_name(), client("cloudformation")

    def delete() -> str | None:
        """Return the ARN, by which a deleted stack can still be described."""
        if others := _needed_by_others(project, client):
            raise RefusedError(others)
        stack = _describe_stack(name, cloudformation)
        if stack is None:
            return None
        try:
            cloudformation.delete_stack(StackName=name)
        except ClientError as error:
            raise RefusedError(
                f"Stack {name} stays: {error}. Airflow's policies do not allow deleting it. Ask an administrator to "
                f"detach them from Airflow's role, and to run aws cloudformation delete-stack --stack-name {name}."
            ) from error
        arn: str = stack["StackId"]
        return arn

    arn = state.once("delete", delete)
    if arn is None:
        return f"Stack {name} does not exist, or Airflow has no permission to describe it."
    try:
        left = cloudformation.describe_stacks(StackName=arn)["Stacks"][0]
    except ClientError as error:
        if not infrastructure.is_denied(error):
            raise
        return (
            f"Stack {name} is being deleted, with the policy that lets Airflow describe it. Its bucket stays."
        )
    if left["StackStatus"] not in ("DELETE_COMPLETE", "DELETE_FAILED"):
        _wait(state, f"stack {name} to be deleted")
    if left["StackStatus"] == "DELETE_FAILED":
        reason = left.get("StackStatusReason", "CloudFormation gives no reason.")
        raise TeardownError(f"Stack {name} can't be deleted: {reason}")
    return f"Stack {name} is deleted. Its bucket stays."


def check_nothing_left(
    project: Project, client: Client, options: Options, failures: dict[str, str], state: StepState
) -> None:
    """Check that every step has succeeded, and that no resource with the project's tags is left, except what is kept.

    :param failures: the cause of each failed step.
    :raises LeftError: if a step failed or a resource is left; the message names all of them.
    """
    arns = tagged_arns(project, client("resourcegroupstaggingapi"))
    registry = () if options.delete_registry else (resource_kinds.REGISTRY,)
    workspace = () if options.delete_workspace else (resource_kinds.NOTEBOOK, resource_kinds.LIFECYCLE)
    kept = [found.arn for found in of_kinds(arns, *registry, *workspace)]
    # AWS lists some resources, with their tags, for minutes or an hour after they were deleted.
    left = [arn for arn in arns if arn not in kept and still_exists(project, arn, client)]
    if not failures and not left:
        return
    problems = [f"Step {step} failed: {reason}" for step, reason in failures.items()]
    problems += [f"{len(left)} resources are left: {', '.join(left)}"] if left else []
    error = LeftError("\n".join(problems))
    if failures:  # resources are certainly left: do not wait for the tag index
        raise error
    state.wait("the tags to be removed", error, TAGS_SECONDS)


def _describe_job(job: Found, sagemaker: Any) -> AwsAnswer:
    """Return the description of a job; with the status ``Deleted`` if its record no longer exists."""
    try:
        return job.kind.describe(job.name, sagemaker)
    except ClientError as error:
        if not live.is_missing(error):
            raise
        return {f"{job.kind.noun}Status": "Deleted"}


def _job_status(job: Found, sagemaker: Any) -> str:
    return job.kind.status_of(_describe_job(job, sagemaker))


def _may_get_warm_pool(trained: Found, sagemaker: Any) -> bool:
    """Return whether a training job has just ended, so that its warm pool, which is billed, may not be listed yet."""
    job = _describe_job(trained, sagemaker)
    if job["TrainingJobStatus"] != "Completed":
        return False
    is_kept = job["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0) > 0
    is_fresh = datetime.now(UTC) - job["TrainingEndTime"] < timedelta(seconds=POOL_SECONDS)
    return is_kept and is_fresh and "WarmPoolStatus" not in job


def _describe_stack(name: str, cloudformation: Any) -> AwsAnswer | None:
    """Return the description of a stack, or None if it does not exist."""
    try:
        stack: AwsAnswer = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if infrastructure.is_missing(error):
            return None
        raise
    return stack


def _wait(state: StepState, what: str, seconds: int = WAIT_SECONDS) -> NoReturn:
    error = f"Waited {seconds} s for {what}. Run the teardown again, or check in the AWS console."
    state.wait(what, TeardownError(error), seconds)
