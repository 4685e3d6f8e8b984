"""Explain to the user why a page can't be shown."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from starlette.exceptions import HTTPException

from include.pipeline.infrastructure import InfrastructureError
from include.pipeline.target import is_local

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled"}
NOT_ACCEPTED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
SAME_AS_TASKS = "Give the API server the same credentials and the same connection aws_default as the tasks."


class PageError(HTTPException):
    """A page can't be shown. The message says why and what to do."""

    def __init__(self, status: HTTPStatus, message: str, **kwargs: Any) -> None:
        super().__init__(status, message, **kwargs)


def of_aws(error: Exception) -> PageError:
    """Return the error to show when a call of the API server to AWS has failed."""
    if isinstance(error, InfrastructureError):
        return PageError(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    if isinstance(error, ClientError):
        return _of_answer(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        message = f"Airflow's API server has no AWS credentials. {SAME_AS_TASKS}"
    elif isinstance(error, BotoCoreError) and is_local():
        message = f"Local AWS does not respond: {error} Run `make up`."
    else:
        message = f"Airflow's API server can't reach AWS: {error} {SAME_AS_TASKS}"
    return PageError(HTTPStatus.SERVICE_UNAVAILABLE, message)


def _of_answer(error: ClientError) -> PageError:
    code = error.response["Error"]["Code"]
    if code in DENIED:
        return PageError(
            HTTPStatus.BAD_GATEWAY,
            f"AWS does not let Airflow's API server read the page ({code}). Its role needs s3:GetObject and "
            "s3:ListBucket for the bucket of the stack, and cloudformation:DescribeStacks. Attach the policy of the "
            "stack's output AirflowPagesPolicyArn.",
        )
    if code in NOT_ACCEPTED:
        return PageError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"AWS does not accept the credentials of Airflow's API server ({code}). {SAME_AS_TASKS}",
        )
    return PageError(HTTPStatus.BAD_GATEWAY, f"AWS has returned an error: {error}. Try again in a minute.")
