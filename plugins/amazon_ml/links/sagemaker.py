"""The links from a task to its SageMaker job, and to the job's logs, in the AWS console."""

from __future__ import annotations

from urllib.parse import quote

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class SageMakerJobLink(BaseAwsLink):
    """A training, tuning or processing job in the AWS console."""

    name = "Amazon SageMaker Job"
    key = "sagemaker_job"
    format_str = BASE_AWS_CONSOLE_LINK + "/sagemaker/home?region={region_name}#/{job_type}/{job_name}"


class SageMakerJobLogsLink(BaseAwsLink):
    """The log streams of a job in the AWS console."""

    name = "Amazon SageMaker Job Logs"
    key = "sagemaker_job_logs"
    format_str = (
        BASE_AWS_CONSOLE_LINK
        + "/cloudwatch/home?region={region_name}#logsV2:log-groups/log-group/{log_group}"
        + "$3FlogStreamNameFilter$3D{log_stream_prefix}"
    )

    def format_link(self, **kwargs: str) -> str:
        """Quote the names twice, with $ in place of %, as this page of the console expects."""
        for field in ("log_group", "log_stream_prefix"):
            if field not in kwargs:
                return ""
            kwargs[field] = quote(quote(kwargs[field], safe=""), safe="").replace("%", "$")
        return super().format_link(**kwargs)
