"""Open the JupyterLab of a project's workspace on local AWS."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from include.pipeline.names import workspace_name
from include.pipeline.project_files import read_projects
from include.pipeline.target import is_local
from project_pages.errors import PageError, of_aws
from project_pages.storage import AWS_ERRORS, client

LOOPBACK = ("127.0.0.1", "localhost")


def signed_in_url(name: str) -> str:
    """Return the URL of a workspace's JupyterLab, with the access token.

    Only the browser receives the URL; it is in no log and no XCom. On AWS there is no such URL: anyone who opened it
    would act with the role of the workspace, so IAM controls the access.

    :param name: The name of the project.
    :raises PageError: If there is nothing to open.
    """
    if not is_local():
        raise PageError(
            HTTPStatus.NOT_FOUND,
            "On AWS, open a workspace from the console: use the link Amazon SageMaker Notebook Instance of the task.",
        )
    project = next((project for project in read_projects()[0] if project.name == name), None)
    if project is None:
        raise PageError(HTTPStatus.NOT_FOUND, f"Project {name} does not exist.")
    instance = {"NotebookInstanceName": workspace_name(project)}
    try:
        sagemaker = client("sagemaker")
        status = sagemaker.describe_notebook_instance(**instance)["NotebookInstanceStatus"]
        if status == "InService":
            url: str = sagemaker.create_presigned_notebook_instance_url(**instance)["AuthorizedUrl"]
    except AWS_ERRORS as error:
        if isinstance(error, ClientError) and "RecordNotFound" in str(error):
            raise PageError(
                HTTPStatus.NOT_FOUND,
                f"The project has no workspace. Trigger {name}.workspace with the action create.",
            ) from error
        raise of_aws(error) from error
    if status != "InService":
        raise PageError(
            HTTPStatus.CONFLICT,
            f"The workspace is {status}. Trigger {name}.workspace with the action start, and wait for the end of the "
            "run.",
        )
    aws = urlsplit(sagemaker.meta.endpoint_url).hostname
    if aws not in LOOPBACK:
        raise PageError(
            HTTPStatus.CONFLICT,
            f"The workspace listens on a loopback address of {aws}, which your browser can't reach. To work in it, use "
            "`make up` instead of Docker Compose.",
        )
    return url
