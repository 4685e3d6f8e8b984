"""The error an operation answers with, as AWS names it."""

from typing import Any


class AwsError(Exception):
    """An error answer.

    :param code: the error's name in AWS's API, such as ``ValidationException``
    :param message: the sentence for the caller
    :param status: the HTTP status
    :param members: further members of the error's body, such as ``OriginalStatusCode``
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members
