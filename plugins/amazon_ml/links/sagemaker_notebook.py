"""The link from a task to its SageMaker notebook instance."""

from __future__ import annotations

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class SageMakerNotebookLink(BaseAwsLink):
    """
    The notebook instance in the AWS console, where "Open JupyterLab" requires IAM permission.

    A presigned URL would grant access to anyone who can read this task's log or XCom, so none is created.
    """

    name = "Amazon SageMaker Notebook Instance"
    key = "sagemaker_notebook"
    format_str = (
        BASE_AWS_CONSOLE_LINK + "/sagemaker/home?region={region_name}#/notebook-instances/{instance_name}"
    )
