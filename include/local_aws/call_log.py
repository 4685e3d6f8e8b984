"""Records each call to local AWS in a file: who called which operation, with which parameters.

Off, and without cost, unless the environment variable LOCAL_AWS_CALLS names the file. Each line is a JSON object:

- ``principal``: the access key ID, or null if the call was not signed
- ``service``: botocore's name of it
- ``operation``: null if no operation of the service has this method and path, such as a call to a function URL
- ``region``, ``method``, ``path``, ``status`` (of HTTP)
- ``parameters``: those of the operation. Bodies and other binary values are null.
"""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

VARIABLE = "LOCAL_AWS_CALLS"

_CREDENTIAL = re.compile(r"(?:Credential=|X-Amz-Credential=)([^/&,]+)/\d{8}/([^/&,]+)/([^/&,]+)/")
# Where botocore has another name for a service than the one that requests are signed for.
_SERVICES = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}

StartResponse = Callable[..., Any]


class CallLog:
    """Appends calls to a file, each when its answer begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def recording(self, environ: dict[str, Any], body: bytes, start_response: StartResponse) -> StartResponse:
        """Return a ``start_response`` that records the call as well."""
        call = read_call(environ, body)

        def start(status: str, *arguments: Any) -> Any:
            line = json.dumps({**call, "status": int(status.split()[0])}, default=_shown)
            with self._lock, self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            return start_response(status, *arguments)

        return start


def read_call(environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return what is recorded of a call, without its status."""
    request = Request(environ, populate_request=False)
    signed = _CREDENTIAL.search(request.headers.get("Authorization", "") or request.url.replace("%2F", "/"))
    principal, region, name = signed.groups() if signed else (None, None, "")
    service = _SERVICES.get(name, name)
    if service == "sagemaker" and request.path.startswith("/endpoints/"):
        service = "sagemaker-runtime"
    operation, parameters = _parsed(service, request, body) if service else (None, {})
    return {
        "principal": principal,
        "service": service,
        "operation": operation,
        "region": region,
        "method": request.method,
        "path": request.path,
        "parameters": parameters,
    }


def _parsed(service: str, request: Request, body: bytes) -> tuple[str | None, dict[str, Any]]:
    request._cached_data = body
    try:
        operation, in_path = get_service_router(service).match(request)
    except (HTTPException, NotImplementedError):
        return None, {}
    parser = PROTOCOL_PARSERS[determine_request_protocol(get_service_model(service), request.content_type)]
    parameters = parser(operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": body,
            "url_path": request.path,
            "url_params": in_path,
        }
    )
    return operation.name, parameters


def _shown(value: Any) -> Any:
    return None if isinstance(value, (bytes, bytearray)) else str(value)
