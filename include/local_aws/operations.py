"""The operations of a service: one table of what answers each, and how a request names its operation."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.request import Request as MotoRequest
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from include.local_aws.errors import AwsError
from include.local_aws.gateway import json_response
from include.local_aws.service_models import operation_model

Members = dict[str, Any]
Handler = Callable[[Members], Members | None]
"""Returns the answer to a request, or None to leave the request to moto."""


class JsonOperations:
    """The operations of a service whose requests name them in ``X-Amz-Target``.

    :param target: what precedes the name there
    :param handlers: what answers each operation; moto answers those that are not in the table
    :param check: checks the members of a request before it is handled
    """

    def __init__(
        self, target: str, handlers: Mapping[str, Handler], check: Callable[[str, Members], None]
    ) -> None:
        self._target = target
        self.handlers = handlers
        self._check = check

    def respond(self, request: Request) -> Response | None:
        """Answer a request for one of the operations.

        :raises AwsError: as AWS answers
        """
        name = target_operation(request, self._target)
        if name not in self.handlers:
            return None
        members = members_of(request)
        self._check(name, members)
        answer = self.handlers[name](members)
        return None if answer is None else json_response(answer)


def target_operation(request: Request, prefix: str) -> str:
    """Return the operation that ``X-Amz-Target`` names after a prefix, or an empty text."""
    target = request.headers.get("X-Amz-Target", "")
    return target.removeprefix(prefix) if target.startswith(prefix) else ""


def path_operation(service: str, request: Request) -> tuple[str, dict[str, str]]:
    """Return the operation that a method and path name, and the members in the path; empty if there is none."""
    try:
        operation, members = get_service_router(service).match(
            MotoRequest(request.environ, populate_request=False)
        )
    except (HTTPException, NotImplementedError):
        return "", {}
    return operation.name, members


def path_response(service: str, operation: str, answer: Members) -> Response:
    """Return an answer with the status of an operation that a path names."""
    status = operation_model(service, operation).http["responseCode"]
    if status == 204:
        return Response(status=status)
    return Response(json.dumps(answer), status, content_type="application/json")


def members_of(request: Request) -> Members:
    """Return the members in the body of a request.

    :raises AwsError: SerializationException if it is not a JSON object
    """
    try:
        members = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The request's body is not JSON: {error}.") from error
    if not isinstance(members, dict):
        raise AwsError("SerializationException", "The request's body is not a JSON object.")
    return members


def page(
    member: str, items: list[Members], request: Members, size: int, error: str = "ValidationException"
) -> Members:
    """Return the page of a list that a request asks for; the token of the next page is its position.

    :param member: the name of the list in the answer
    :param size: the number of items, unless the request has ``MaxResults``
    :param error: the code of the error for an invalid token
    :raises AwsError: if the token is invalid
    """
    token = request.get("NextToken") or "0"
    if not token.isdecimal():
        raise AwsError(error, f"The token {token!r} is not valid for this list.")
    start, end = int(token), int(token) + request.get("MaxResults", size)
    more = {"NextToken": str(end)} if end < len(items) else {}
    return {member: items[start:end], **more}


def leave_to_moto(_: Members) -> None:
    """Leave a request to moto."""
