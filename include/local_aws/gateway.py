"""The WSGI application on the port: own services first, moto for everything else."""

import io
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from include.local_aws.call_log import CallLog
from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError

HEALTH_PATH = "/_local_aws/health"

_log = logging.getLogger(__name__)

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Service(Protocol):
    """Something that answers some of the requests."""

    def respond(self, request: Request) -> Response | None:
        """Answer a request, or return None when it is another service's.

        :raises AwsError: to answer with an AWS error
        """

    def close(self) -> None:
        """End what runs in the background; the server ends the processes."""


class Gateway:
    """Asks each service in turn, then moto."""

    def __init__(
        self, services: Sequence[Service], moto: WsgiApplication, call_log: CallLog | None = None
    ) -> None:
        self._services = services
        self._moto = moto
        self._call_log = call_log

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Not in the environment: that would be a cycle, which keeps large bodies until a garbage collection.
        request = Request(environ, populate_request=False)
        body = request.get_data()
        if self._call_log and request.path != HEALTH_PATH:
            start_response = self._call_log.recording(replayed(environ, body), body, start_response)
        response = self._respond(request)
        if response is None:
            return self._moto(replayed(environ, body), start_response)
        response.headers.setdefault("x-amzn-RequestId", str(uuid.uuid4()))
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response | None:
        if request.path == HEALTH_PATH:
            return json_response({"status": "ok", "account": ACCOUNT_ID})
        try:
            for service in self._services:
                response = service.respond(request)
                if response is not None:
                    return response
        except AwsError as error:
            return error_response(error)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.path)
            return error_response(AwsError("InternalFailure", f"{type(error).__name__}: {error}", 500))
        return None


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    """Return an answer in AWS's JSON protocol; headers' underscores stand for hyphens."""
    response = Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


# https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html and its like.
_QUERY_ERROR = (
    "<ErrorResponse><Error><Type>{kind}</Type>{fault}</Error><RequestId>{id}</RequestId></ErrorResponse>"
)
_XML_ERRORS = {
    "s3": "<Error>{fault}<RequestId>{id}</RequestId></Error>",
    "ec2": "<Response><Errors><Error>{fault}</Error></Errors><RequestID>{id}</RequestID></Response>",
    "query": _QUERY_ERROR,
    "rest-xml": _QUERY_ERROR,
}


def error_response(error: AwsError, protocol: str = "json", service: str = "") -> Response:
    """Return an error in the protocol of a service, named as botocore names it. JSON stands for REST-JSON too."""
    template = _XML_ERRORS.get(service) or _XML_ERRORS.get(protocol)
    if template is None:
        body = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
        return json_response(body, error.status, x_amzn_ErrorType=error.code)
    members = {"Code": error.code, "Message": error.message, **error.members}
    fault = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in members.items())
    text = template.format(
        fault=fault, kind="Sender" if error.status < 500 else "Receiver", id=str(uuid.uuid4())
    )
    return Response(
        f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', error.status, content_type="application/xml"
    )


def replayed(environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the environment of a request whose body has been read, so that it can be read again."""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
