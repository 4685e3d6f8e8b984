"""The link from a task to the output of its command on an EC2 instance, in the AWS console."""

from __future__ import annotations

from amazon_ml.links.sagemaker import SageMakerJobLogsLink


class CommandLogsLink(SageMakerJobLogsLink):
    """The log streams of a command that Systems Manager runs on an instance."""

    name = "Command Logs"
    key = "command_logs"
