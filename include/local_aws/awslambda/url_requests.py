"""What a request to a function URL and its answer are to the function.

Of AWS_IAM only the presence of a signature is checked: local AWS emulates behavior, not permissions.
"""

import base64
import json
import time
import uuid

from werkzeug.wrappers import Request, Response

from include.local_aws.awslambda.function_urls import PATH, FunctionUrl
from include.local_aws.config import ACCOUNT_ID

_TEXT = ("text/", "application/json", "application/javascript", "application/xml")


def is_allowed(url: FunctionUrl, request: Request) -> bool:
    """Whether a request is signed, where the URL wants that."""
    signature = request.headers.get("Authorization", "")
    return url.members["AuthType"] != "AWS_IAM" or signature.startswith("AWS4-HMAC-SHA256 ")


def event(url: FunctionUrl, request: Request) -> bytes:
    """Return the event (JSON, payload format 2.0) that a request is to a function."""
    body = request.get_data()
    is_text = (request.content_type or "").startswith(_TEXT)
    path = "/" + request.path.removeprefix(f"{PATH}{url.id}").lstrip("/")
    now = time.time()
    members = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query_string.decode(),
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": url.id,
            "domainName": request.host,
            "domainPrefix": url.id,
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
                "sourceIp": request.remote_addr,
                "userAgent": request.headers.get("User-Agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(body) and not is_text,
    }
    if request.args:
        members["queryStringParameters"] = {key: ",".join(values) for key, values in request.args.lists()}
    if body:
        members["body"] = body.decode() if is_text else base64.b64encode(body).decode()
    return json.dumps(members).encode()


def response(payload: bytes, *, failed: bool) -> Response:
    """Return the HTTP answer for what a function returned; one that failed or is not JSON is a bad gateway."""
    if failed:
        return Response(
            json.dumps({"Message": "Internal Server Error"}), 502, content_type="application/json"
        )
    try:
        answer = json.loads(payload)
    except ValueError:  # a function may return bytes of any kind
        return response(payload, failed=True)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(payload, 200, content_type="application/json")
    body = answer.get("body") or ""
    if not isinstance(body, str):
        body = json.dumps(body)
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    headers = {"Content-Type": "application/json", **answer.get("headers", {})}
    result = Response(content, int(answer["statusCode"]), headers=headers)
    for cookie in answer.get("cookies", []):
        result.headers.add("Set-Cookie", cookie)
    return result
