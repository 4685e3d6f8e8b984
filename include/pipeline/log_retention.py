"""How long CloudWatch keeps the logs that are the project's own.

AWS makes a log group with the first line and keeps its lines for good, and bills them as long. So the group is made
before its first line is written, with a retention.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from include.pipeline.settings import Project


def limit(project: Project, group: str, logs: Any) -> None:
    """Let a log group keep its lines as long as the project says; it is made if it does not exist.

    Only for groups of :func:`include.pipeline.inventory.log_groups`: those that SageMaker shares among all jobs of
    the account hold logs of others too. It can be repeated, and a retention that was changed is set anew.

    :param group: the log group's name, such as ``/aws/lambda/birds``.
    :param logs: a boto3 client.
    :raises botocore.exceptions.ClientError: if CloudWatch Logs refuses it.
    """
    days = project.logs.retention_days
    if days is None:
        # A retention of before is taken away. A group that does not exist has none.
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_retention_policy(logGroupName=group)
        return
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=days)
