"""The link from a task to its SageMaker notebook instance."""

from __future__ import annotations

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class SageMakerNotebookLink(BaseAwsLink):
    """
    The notebook instance in the AWS console, whose "Open JupyterLab" lets in whom IAM allows it.

    A presigned URL would let in whoever can read this task's log or XCom, so none is made.
    """

    name = "Amazon SageMaker Notebook Instance"
    key = "sagemaker_notebook"
    format_str = (
        BASE_AWS_CONSOLE_LINK + "/sagemaker/home?region={region_name}#/notebook-instances/{instance_name}"
    )
