"""The link from a task to its SageMaker notebook instance."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class SageMakerNotebookLink(BaseAwsLink):
    """
    The notebook instance in the AWS console, whose "Open JupyterLab" lets in whom IAM allows it.

    Where SageMaker is another one than AWS's, its Jupyter server, which asks for a token. A presigned address would
    let in whoever can read this task's log or XCom, so none is made.
    """

    name = "Amazon SageMaker Notebook Instance"
    key = "sagemaker_notebook"
    format_str = (
        BASE_AWS_CONSOLE_LINK + "/sagemaker/home?region={region_name}#/notebook-instances/{instance_name}"
    )

    def format_link(self, **kwargs: Any) -> str:
        """Prefer the address of the server, where there is one."""
        return f"http://{kwargs['server']}/lab" if kwargs.get("server") else super().format_link(**kwargs)
