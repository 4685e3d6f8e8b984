"""Names who calls local AWS, by the access key of each."""

from enum import StrEnum


class Principal(StrEnum):
    """The access key IDs that local AWS gives to what it starts.

    Its stack has a role for each but the first. Nothing is permitted or refused by them: they tell the calls apart
    that :mod:`include.local_aws.call_log` records.
    """

    LOCAL_AWS = "local-aws"
    JOB = "local-sagemaker-job"
    WORKSPACE = "local-notebook-instance"
    FUNCTION = "local-function"
    INSTANCE = "local-ec2-instance"


def writer_of(log_group: str) -> Principal:
    """Return whose role writes to a log group, where local AWS does so on its behalf."""
    if log_group.startswith("/aws/lambda/"):
        return Principal.FUNCTION
    if log_group == "/aws/sagemaker/NotebookInstances":
        return Principal.WORKSPACE
    return Principal.JOB if log_group.startswith("/aws/sagemaker/") else Principal.INSTANCE
