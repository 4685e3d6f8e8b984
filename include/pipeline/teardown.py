"""Removes what AWS bills a project for while it exists, in an order that works, any number of times.

What exists is found by the project's tags, so that what an interrupted run left is found as well.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.settings import Project

WAIT_SECONDS = 1800
# AWS's tagging index follows deletions with a delay of seconds to minutes.
TAGS_SECONDS = 180
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

Progress = Callable[[str], None]


class TeardownError(RuntimeError):
    """Something that is left; the message says what, and why it could not be removed."""


def tagged_arns(project: Project, tagging: Any) -> list[str]:
    """The ARNs of all that carries the project's tag."""
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[
            {"Key": "project", "Values": [project.name]},
            {"Key": "managed-by", "Values": ["airflow"]},
        ]
    )
    return sorted(found["ResourceARN"] for page in pages for found in page["ResourceTagMappingList"])


def stop_jobs(project: Project, sagemaker: Any, tagging: Any, progress: Progress = print) -> int:
    """Stop the jobs that run, wait for their end, and take the tags off all ended jobs.

    SageMaker bills nothing for the record of a job, and a later run can use its result; without its tags it is
    no longer listed among what exists. Returns how many jobs there were.
    """
    jobs = list(_of_kinds(tagged_arns(project, tagging), set(JOBS)))
    for kind, name, _ in jobs:
        if _job_status(kind, name, sagemaker) == "InProgress":
            progress(f"Stopping {kind} {name}.")
            operation, key, _ = JOBS[kind]
            try:
                getattr(sagemaker, f"stop_{operation}")(**{key: name})
            except ClientError as error:
                if error.response["Error"]["Code"] != "ValidationException":  # it ended in the meantime
                    raise
    for kind, name, arn in jobs:
        _wait(
            functools.partial(_has_ended, kind, name, sagemaker),
            f"{kind} {name} to stop",
            project,
        )
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["project", "managed-by"])
    return len(jobs)


def delete_alarms(project: Project, cloudwatch: Any, tagging: Any) -> int:
    """Delete the project's CloudWatch alarms; returns how many there were."""
    names = [arn.split(":alarm:", 1)[1] for arn in tagged_arns(project, tagging) if ":alarm:" in arn]
    if names:
        cloudwatch.delete_alarms(AlarmNames=names)
    return len(names)


def find(project: Project, kind: str, key: str, tagging: Any) -> list[dict[str, str]]:
    """The requests that delete the project's SageMaker resources of one kind: ``[{key: name}, ...]``."""
    return [{key: name} for _, name, _ in _of_kinds(tagged_arns(project, tagging), {kind})]


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


def check_nothing_left(project: Project, tagging: Any) -> None:
    """See that nothing carries the project's tags any more.

    :raises TeardownError: naming what does.
    """
    left: list[str] = []

    def is_empty() -> bool:
        left[:] = tagged_arns(project, tagging)
        return not left

    try:
        _wait(is_empty, "the tags to be gone", project, seconds=TAGS_SECONDS)
    except TeardownError as error:
        raise TeardownError(f"{len(left)} resources are left: {', '.join(left)}") from error


def _of_kinds(arns: list[str], kinds: set[str]) -> Iterator[tuple[str, str, str]]:
    """Kind, name and ARN of the SageMaker resources among the ARNs."""
    for arn in arns:
        _, _, service, _, _, resource = arn.split(":", 5)
        kind, _, name = resource.partition("/")
        if service == "sagemaker" and kind in kinds:
            yield kind, name, arn


def _job_status(kind: str, name: str, sagemaker: Any) -> str:
    operation, key, status = JOBS[kind]
    answer: str = getattr(sagemaker, f"describe_{operation}")(**{key: name})[status]
    return answer


def _has_ended(kind: str, name: str, sagemaker: Any) -> bool:
    return _job_status(kind, name, sagemaker) not in ("InProgress", "Stopping")


def _wait(condition: Callable[[], bool], what: str, project: Project, seconds: int = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TeardownError(
                f"Waited {seconds} s for {what}; run the teardown again, or look at it in the AWS console."
            )
        time.sleep(project.poll_seconds)
