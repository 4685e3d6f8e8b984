"""Callers of the function and of the endpoint: some send pictures, one sends what can't be answered."""

from __future__ import annotations

import itertools
import json
import threading
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

PAUSE_SECONDS = 2.0
SURROGATE = "\ud800"
DEEP = b"[" * 10_000 + b"]" * 10_000
EVENTS: list[Any] = [
    {"s3": f"s3://{{bucket}}/shapes/{SURROGATE}"},
    {"url": "http://["},
    {"url": "http://127.0.0.1/"},
    {"image": "####"},
    {"image": b64encode(b"\xff\xd8\xff\xe0 no picture").decode()},
    {"image": None},
    [],
    "text",
]
"""Events of the function. ``{bucket}`` stands for the project's bucket."""
BODIES = [
    (b"\xff\xfe1,2", "text/csv"),
    (DEEP, "application/json"),
    (json.dumps({"s3": f"s3://bucket/{SURROGATE}"}).encode(), "application/json"),
    (b"\xff\xd8\xff\xe0 no picture", "image/jpeg"),
    (b"", "image/png"),
]
"""Bodies of requests to the endpoint, each with its content type."""


class BadCaller:
    """Sends a malformed request every two seconds, in its own thread."""

    def __init__(self, client: Callable[[str], Any], name: str, bucket: str) -> None:
        self._functions, self._runtime = client("lambda"), client("sagemaker-runtime")
        self._name, self._bucket = name, bucket
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.by_function: list[tuple[str, Any]] = []
        """The events of the function, each with the status of its answer."""
        self.by_endpoint: list[tuple[str, Any]] = []
        """The bodies of requests to the endpoint, each with the status of its answer."""

    def _run(self) -> None:
        for event, (body, content_type) in zip(
            itertools.cycle(EVENTS), itertools.cycle(BODIES), strict=False
        ):
            text = json.dumps(event).replace("{bucket}", self._bucket)
            self.by_function.append((text, self._call_function(text)))
            sent = f"{content_type} {body[:40]!r}"
            self.by_endpoint.append((sent, self._call_endpoint(body, content_type)))
            if self._ended.wait(PAUSE_SECONDS):
                return

    def _call_function(self, event: str) -> Any:
        answer = self._functions.invoke(FunctionName=self._name, Qualifier="live", Payload=event)
        payload = json.load(answer["Payload"])
        return payload.get("status", payload) if isinstance(payload, dict) else payload

    def _call_endpoint(self, body: bytes, content_type: str) -> Any:
        try:
            self._runtime.invoke_endpoint(EndpointName=self._name, Body=body, ContentType=content_type)
        except ClientError as error:
            status = error.response.get("OriginalStatusCode")
            return status or error.response["ResponseMetadata"]["HTTPStatusCode"]
        return 200

    def __enter__(self) -> BadCaller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
