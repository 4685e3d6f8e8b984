"""Removes what AWS bills a project for while it exists, in an order that works, any number of times."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import infrastructure, live, names
from include.pipeline.errors import PermanentError
from include.pipeline.infrastructure import stack_name
from include.pipeline.inventory import (
    JOBS,
    REGISTRY,
    SHARED_LOG_GROUPS,
    WORKSPACE,
    Client,
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
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

WAIT_SECONDS = 1800
INTERFACES_SECONDS = 900
# AWS's tagging index follows deletions with a delay of seconds to minutes.
TAGS_SECONDS = 180
# SageMaker may show a training job as completed before it shows the job's warm pool.
POOL_SECONDS = 60

Progress = Callable[[str], None]


class TeardownError(RuntimeError):
    """Something that could not be removed now; the message says what, and why."""


class RefusedError(PermanentError):
    """A teardown that must not begin; the message says what to do first. Nothing was touched."""


class LeftError(PermanentError):
    """A teardown that is over and has not removed all; the message says what is left, and why."""


@dataclass(frozen=True)
class Options:
    """What goes besides what is billed while it exists, as the form says."""

    delete_workspace: bool = True
    delete_data: bool = False
    delete_registry: bool = False
    delete_logs: bool = False
    delete_infrastructure: bool = False

    @classmethod
    def of(cls, params: Any) -> Options:
        """Those among the parameters of a run."""
        return cls(**{field.name: bool(params[field.name]) for field in fields(cls)})


def fate(what: str, options: Options) -> str:
    """What a teardown does with a thing of one kind in the answer of :func:`include.pipeline.inventory.look`."""
    if what == "job":
        return "is stopped if it runs; its record stays"
    option = f"delete_{what}"
    if not getattr(options, option, True):
        return f"stays, for {option} is off"
    if what == "infrastructure":
        return "is deleted if no other project needs it; its bucket stays"
    return {"warm pool": "is ended", "instance": "is terminated"}.get(what, "is deleted")


def verdict(project: Project, rows: list[dict[str, str]], *, dry_run: bool) -> str:
    """What becomes of what exists, in one sentence.

    :param rows: the answer of :func:`include.pipeline.inventory.look`, each with what :func:`fate` says as ``then``.
    """
    kept = sum(row["then"].startswith("stays") for row in rows)
    if not rows:
        return f"Nothing of {project.name} exists."
    count = f"{len(rows)} resources of {project.name} exist"
    going = len(rows) - kept
    if dry_run:
        return f"Dry run, nothing is deleted: {count}, of which a teardown deletes or stops {going} and keeps {kept}."
    return f"{count}. If this run is confirmed, it deletes or stops {going} and keeps {kept}."


def show(rows: list[dict[str, str]]) -> list[str]:
    """The rows as lines for a log, whose page is too narrow for columns."""
    return [f"{row['what']} {row['name']}: {row['then']}" for row in rows]


def dry_run_reason(project: Project, confirm: str | None) -> str:
    """Why a dry run deletes nothing, and what to do if something else was meant.

    :param confirm: what the form's field holds.
    """
    reason = "Dry run, nothing is deleted: the log of the task find lists what a teardown deletes."
    if confirm:
        return f"{reason} The field Confirm is filled in, but Dry run is on: switch it off to delete."
    return f"{reason} To delete, switch Dry run off and type the project's name, {project.name}, in Confirm."


def check_request(project: Project, confirm: str | None, releases: int) -> None:
    """Verify that a person means it, and that no run creates new resources meanwhile.

    :param confirm: what the form's field holds.
    :param releases: how many runs of ``train_and_deploy``, ``rollback`` and ``workspace`` are under way or waiting.
    :raises RefusedError: if it is not so.
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
    """Return why a teardown would be refused now, or a part of it: for a dry run, which is to tell before.

    :param releases: as for :func:`check_request`.
    """
    others = _needed_by_others(project, client) if options.delete_infrastructure else None
    refused = [_under_way(project, releases)] if releases else []
    return refused + ([others] if others else [])


def _under_way(project: Project, releases: int) -> str:
    return (
        f"{releases} runs of {project.name}.train_and_deploy, rollback or workspace are running or queued, and would "
        "create again what is deleted. Mark them as failed in Airflow, or wait until they finish."
    )


def _needed_by_others(project: Project, client: Client) -> str | None:
    others = other_projects(project, client("resourcegroupstaggingapi"))
    if not others:
        return None
    listed = ", ".join(f"{other} ({count} resources)" for other, count in sorted(others.items()))
    return f"Stack {stack_name()} stays, for other projects need it: {listed}. Take those down first."


def reason_to_keep(
    project: Project, releases: int, client: Client, now: datetime | None = None
) -> str | None:
    """Why the check by the clock leaves an endpoint alone, in one sentence, or None where it may go.

    :param releases: how many runs of ``train_and_deploy``, ``rollback`` and ``workspace`` are under way or waiting.
    """
    hours, name, now = project.endpoint.ttl_hours or 0.0, endpoint_name(project), now or datetime.now(UTC)
    if releases:
        return f"A run of {project.name}.train_and_deploy, rollback or workspace goes on or waits."
    if (status := live.endpoint_status(project, client("sagemaker"))) is None:
        return f"There is no endpoint {name}."
    if status != "InService":
        return f"Endpoint {name} is {status}."
    changed = client("sagemaker").describe_endpoint(EndpointName=name)["LastModifiedTime"]
    if now - changed < timedelta(hours=hours):
        return f"Endpoint {name} was made or changed at {changed:%Y-%m-%d %H:%M}, less than {hours:g} h ago."
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
        return f"Endpoint {name} was asked {invocations:.0f} times in the last {hours:g} h."
    return None


def stop_jobs(project: Project, client: Client, progress: Progress = log.info) -> int:
    """Stop the jobs that run, wait for their end, end warm pools, and take the tags off all ended jobs.

    SageMaker bills nothing for the record of a job, and a later run can use its result; without its tags it is
    no longer listed among what exists. Returns how many jobs there were.
    """
    sagemaker = client("sagemaker")
    found = jobs(project, client)
    for kind, name, _ in found:
        if _job_status(kind, name, sagemaker) == "InProgress":
            progress(f"Stopping {kind} {name}.")
            operation, key, _ = JOBS[kind]
            try:
                getattr(sagemaker, f"stop_{operation}")(**{key: name})
            except ClientError as error:
                ended = error.response["Error"]["Code"] == "ValidationException"
                if not ended and not live.is_missing(error):
                    raise
    for kind, name, _ in found:
        _wait(
            functools.partial(_has_ended, kind, name, sagemaker),
            f"{kind} {name} to stop",
            project,
        )
    trained = [name for kind, name, _ in found if kind == "training-job"]
    _wait(
        lambda: not any(_may_get_warm_pool(name, sagemaker) for name in trained),
        "the warm pools of the jobs that have just ended",
        project,
    )
    # Before the tags go: what may be changed is told by them.
    end_warm_pools(project, sagemaker, progress)
    for _, _, arn in found:
        try:
            sagemaker.delete_tags(ResourceArn=arn, TagKeys=["project", "managed-by"])
        except ClientError as error:
            if not live.is_missing(error):  # somebody has deleted the job's record
                raise
    return len(found)


def end_warm_pools(project: Project, sagemaker: Any, progress: Progress = log.info) -> int:
    """Give back the instances that wait for the next training job; returns how many jobs had some."""
    pools = warm_pools(project, sagemaker)
    for name in pools:
        progress(f"Ending the warm pool of {name}.")
        try:
            sagemaker.update_training_job(
                TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":  # its time was over in the meantime
                raise
    _wait(lambda: not warm_pools(project, sagemaker), "the warm pools to end", project)
    return len(pools)


def terminate_instances(project: Project, ec2: Any, progress: Progress = log.info) -> int:
    """Terminate the EC2 instances that train, wait until they are gone, and delete their security groups.

    :return: how many instances were terminated.
    """
    found = [name for name, state in instances(project, ec2).items() if state != "terminated"]
    if found:
        progress(f"Terminating {', '.join(found)}.")
        _wait(
            functools.partial(_are_terminated, project, ec2),
            f"{', '.join(found)} to be terminated",
            project,
        )
    for group in security_groups(project, ec2):
        # A network interface outlives its instance, often for minutes.
        _wait(
            functools.partial(_delete_security_group, group, ec2),
            f"security group {group} to be free of network interfaces",
            project,
            seconds=INTERFACES_SECONDS,
        )
    return len(found)


def _are_terminated(project: Project, ec2: Any) -> bool:
    """Whether all instances are terminated; terminates those that are not, for EC2 may list one before it knows it."""
    found = instances(project, ec2)
    if left := [name for name, state in found.items() if state not in ("shutting-down", "terminated")]:
        _terminate(left, ec2)
        return False
    return set(found.values()) <= {"terminated"}


def _terminate(instance_ids: list[str], ec2: Any) -> None:
    """Terminate instances; EC2 terminates none of several if one of them is gone."""
    try:
        ec2.terminate_instances(InstanceIds=instance_ids)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        if len(instance_ids) > 1:
            for each in instance_ids:
                _terminate([each], ec2)


def _delete_security_group(group: str, ec2: Any) -> bool:
    """Delete a security group; return whether it is gone, and not in use."""
    try:
        ec2.delete_security_group(GroupId=group)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("InvalidGroup.NotFound", "DependencyViolation"):
            raise
        return code == "InvalidGroup.NotFound"
    return True


def delete_alarms(project: Project, client: Client) -> int:
    """Delete the project's CloudWatch alarms; returns how many there were."""
    found = alarm_names(project, client)
    if found:
        client("cloudwatch").delete_alarms(AlarmNames=found)
    return len(found)


def delete_registry(project: Project, sagemaker: Any) -> int:
    """Delete the project's model packages, then their group; returns how many packages there were."""
    packages = model_packages(project, sagemaker)
    for arn in packages or []:
        sagemaker.delete_model_package(ModelPackageName=arn)
    if packages is not None:
        sagemaker.delete_model_package_group(ModelPackageGroupName=names.model_package_group(project))
    return len(packages or [])


def delete_data(project: Project, bucket: str, s3: Any) -> int:
    """Delete everything below the project's prefix in the bucket; returns how many objects there were."""
    target, prefix = split_s3_uri(f"{project_uri(bucket, project)}/")
    deleted = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=target, Prefix=prefix):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            answer = s3.delete_objects(Bucket=target, Delete={"Objects": keys, "Quiet": True})
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise TeardownError(
                    f"{len(answer['Errors'])} objects can't be deleted, among them {first['Key']}: {first['Message']}"
                )
            deleted += len(keys)
    return deleted


def delete_logs(project: Project, logs: Any) -> int:
    """Delete the logs of the project's function, endpoint and jobs; returns how many groups and streams there were."""
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


def delete_infrastructure(project: Project, client: Client) -> str:
    """Delete the CloudFormation stack, where no other project needs it; the bucket stays with what is in it.

    :return: what was done, in one sentence.
    :raises RefusedError: if another project has anything.
    :raises TeardownError: if CloudFormation can't delete the stack, with its reason.
    """
    name, cloudformation = stack_name(), client("cloudformation")
    if others := _needed_by_others(project, client):
        raise RefusedError(others)
    stack = _describe_stack(name, cloudformation)
    if stack is None:
        return f"There is no stack {name}, or none that Airflow may see."
    # By its ARN, under which a stack that is deleted is still described.
    arn = stack["StackId"]
    try:
        cloudformation.delete_stack(StackName=name)
    except ClientError as error:
        raise RefusedError(
            f"Stack {name} stays: {error}. The policies for Airflow do not allow to delete it; an administrator takes "
            f"them off Airflow's role and calls aws cloudformation delete-stack --stack-name {name}."
        ) from error
    try:
        _wait(
            lambda: _stack_state(arn, cloudformation) in ("DELETE_COMPLETE", "DELETE_FAILED"),
            f"stack {name} to go",
            project,
        )
        left = cloudformation.describe_stacks(StackName=arn)["Stacks"][0]
    except ClientError as error:
        if not infrastructure.is_denied(error):
            raise
        return f"Stack {name} is being deleted, with the policy that let Airflow see it. Its bucket stays."
    if left["StackStatus"] == "DELETE_FAILED":
        reason = left.get("StackStatusReason", "CloudFormation gives no reason.")
        raise TeardownError(f"Stack {name} can't be deleted: {reason}")
    return f"Stack {name} is gone. Its bucket stays."


def check_nothing_left(project: Project, client: Client, options: Options, failures: dict[str, str]) -> None:
    """See that every step has ended well and nothing with the project's tags exists any more, but what shall stay.

    :param failures: why each step failed that did.
    :raises LeftError: naming all failures and all that is left.
    """
    left: list[str] = []

    def is_empty() -> bool:
        arns = tagged_arns(project, client("resourcegroupstaggingapi"))
        kinds = (set() if options.delete_registry else {REGISTRY}) | (
            set() if options.delete_workspace else WORKSPACE
        )
        kept = [arn for _, _, arn in of_kinds(arns, kinds)]
        # AWS lists some things for minutes or an hour after their end, with their tags.
        left[:] = [arn for arn in arns if arn not in kept and still_exists(project, arn, client)]
        return not left

    with suppress(TeardownError):
        # After a failure something is left for certain: no use in waiting for the tags to follow.
        _wait(is_empty, "the tags to be gone", project, seconds=0 if failures else TAGS_SECONDS)
    if failures or left:
        told = [f"Step {step} failed: {reason}" for step, reason in failures.items()]
        told += [f"{len(left)} resources are left: {', '.join(left)}"] if left else []
        raise LeftError("\n".join(told))


def _job_status(kind: str, name: str, sagemaker: Any) -> str:
    """The status of a job, ``Deleted`` where its record does not exist any more."""
    operation, key, status = JOBS[kind]
    try:
        answer: str = getattr(sagemaker, f"describe_{operation}")(**{key: name})[status]
    except ClientError as error:
        if not live.is_missing(error):
            raise
        return "Deleted"
    return answer


def _may_get_warm_pool(name: str, sagemaker: Any) -> bool:
    """Whether a training job has just ended and its warm pool, which is billed, may not be listed yet."""
    if _job_status("training-job", name, sagemaker) != "Completed":
        return False
    job = sagemaker.describe_training_job(TrainingJobName=name)
    is_kept = job["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0) > 0
    is_fresh = datetime.now(UTC) - job["TrainingEndTime"] < timedelta(seconds=POOL_SECONDS)
    return is_kept and is_fresh and "WarmPoolStatus" not in job


def _has_ended(kind: str, name: str, sagemaker: Any) -> bool:
    return _job_status(kind, name, sagemaker) not in ("InProgress", "Stopping")


def _describe_stack(name: str, cloudformation: Any) -> dict[str, Any] | None:
    """Describe a stack; None where there is none."""
    try:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if infrastructure.is_missing(error):
            return None
        raise
    return stack


def _stack_state(arn: str, cloudformation: Any) -> str:
    state: str = cloudformation.describe_stacks(StackName=arn)["Stacks"][0]["StackStatus"]
    return state


def _wait(condition: Callable[[], bool], what: str, project: Project, seconds: int = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            raise TeardownError(
                f"Waited {seconds} s for {what}; run the teardown again, or look at it in the AWS console."
            )
        time.sleep(project.poll_seconds)
