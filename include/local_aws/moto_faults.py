"""Answers what moto does not know, or fails at, with an AWS error in the service's protocol instead of a web page."""

import logging
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

from include.local_aws.errors import AwsError
from include.local_aws.gateway import WsgiApplication, error_response

_SCOPE = re.compile(r"Credential=[^/]+/\d+/[\w-]*/([\w-]+)/")
_REST_XML = ("s3", "s3-outposts", "cloudfront", "route53")
_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)
_DENIED = ("SimulatePrincipalPolicy", "SimulateCustomPolicy")
"""Clients that ask whether a role may do something continue without an answer where they may not ask."""

_log = logging.getLogger(__name__)


class AwsErrorsOnly:
    """A WSGI application that answers as another does, but never with a web page or an exception."""

    def __init__(self, moto: WsgiApplication) -> None:
        self._moto = moto

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            content, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
        except Exception as error:
            request, body = _sent(environ)
            if isinstance(error, NotImplementedError):
                return _unknown(request, body, str(error))(environ, start_response)
            _log.exception("%s %s failed", request.method, request.path)
            message = f"Local AWS failed: {type(error).__name__}: {error}"
            return _error(request, body, "InternalFailure", message, 500)(environ, start_response)
        if int(status[:3]) >= 400:
            content = list(content)
            request, body = _sent(environ)
            if _is_no_aws_error(request, status, b"".join(content)):
                return _unknown(request, body, "")(environ, start_response)
        start_response(status, headers.to_wsgi_list())
        return content


def _sent(environ: dict[str, Any]) -> tuple[Request, bytes]:
    """Return a request whose body was read already, and its body."""
    environ["wsgi.input"].seek(0)
    request = Request(environ, populate_request=False)
    return request, request.get_data()


def _is_no_aws_error(request: Request, status: str, answer: bytes) -> bool:
    """Whether an answer is a web page, or a 404 with nothing where a service would say what is wrong."""
    # S3 is left alone, signed for or anonymous: it refuses some requests with a status alone.
    says_nothing = status.startswith("404") and not answer and request.method != "HEAD"
    return (says_nothing and _service(request) not in ("", "s3")) or _PAGE.match(answer) is not None


def _unknown(request: Request, body: bytes, reason: str) -> Response:
    if _operation(request, body) in _DENIED:
        message = f"Local AWS checks no permissions, so nobody may call {_operation(request, body)}."
        return _error(request, body, "AccessDenied", message, 403)
    service, operation = _service(request) or "this service", _operation(request, body)
    what = operation or f"{request.method} {request.path}"
    text = f"Local AWS does not implement {what} of {service}."
    code, status = {
        "json": ("UnknownOperationException", 400),
        "rest-json": ("UnknownOperationException", 404),
        "rest-xml": ("NotImplemented", 501),
    }.get(_protocol(request, body), ("InvalidAction", 400))
    return _error(request, body, code, f"{text} {reason}".rstrip(), status)


def _error(request: Request, body: bytes, code: str, message: str, status: int) -> Response:
    response = error_response(AwsError(code, message, status), _protocol(request, body), _service(request))
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
    return response


def _protocol(request: Request, body: bytes) -> str:
    if "X-Amz-Target" in request.headers:
        return "json"
    service = _service(request)
    if _operation(request, body):
        return "ec2" if service == "ec2" else "query"
    return "rest-xml" if service in _REST_XML else "rest-json"


def _service(request: Request) -> str:
    """Return the name that a request is signed for, or an empty one."""
    scope = _SCOPE.search(request.headers.get("Authorization", ""))
    if scope:
        return scope[1]
    credential = request.args.get("X-Amz-Credential", "").split("/")
    return credential[3] if len(credential) > 3 else ""


def _operation(request: Request, body: bytes) -> str:
    """Return the operation that a request names, or an empty name where its path stands for it."""
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rpartition(".")[2]
    form = request.mimetype == "application/x-www-form-urlencoded"
    named = parse_qs(body.decode(errors="replace")).get("Action", []) if form else []
    return (named or request.args.getlist("Action") or [""])[0]
