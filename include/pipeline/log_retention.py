"""Set how long CloudWatch keeps the project's logs.

AWS creates a log group with its first event, keeps the events forever, and bills them. The pipeline creates the group
before the first event, with a retention.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from include.pipeline.settings import Project


def limit(project: Project, group: str, logs: Any) -> None:
    """Set the retention of a log group to the project's setting, and create the group if it does not exist.

    Use it only for the groups in :func:`include.pipeline.inventory.log_groups`: the groups that all SageMaker jobs of
    the account share also contain logs of others. It is idempotent, and overwrites a retention that was changed.

    :param group: the log group's name, such as ``/aws/lambda/birds``.
    :param logs: a boto3 client.
    :raises botocore.exceptions.ClientError: if CloudWatch Logs refuses the request.
    """
    days = project.logs.retention_days
    if days is None:
        # Remove an earlier retention. A group that does not exist has none.
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_retention_policy(logGroupName=group)
        return
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=days)
