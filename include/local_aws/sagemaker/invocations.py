"""InvokeEndpoint: routes a request to a serving process, and counts it."""

import time
from collections import defaultdict, deque
from threading import Lock

import urllib3
from werkzeug.wrappers import Request, Response

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.endpoint_metrics import EndpointMetrics
from include.local_aws.sagemaker.fleet import Fleet, FleetEnded
from include.local_aws.sagemaker.hosting import Endpoints

_REMEMBERED_SECONDS = 900.0
_MESSAGE_CHARACTERS = 500
_TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class Invocations:
    """The runtime of all endpoints."""

    def __init__(self, region: str, endpoints: Endpoints, metrics: EndpointMetrics) -> None:
        self._region = region
        self._endpoints = endpoints
        self._metrics = metrics
        self._lock = Lock()
        self._times: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def count(self, endpoint: str, variant: str, seconds: float) -> int:
        """Return how many requests a variant got in the last seconds."""
        since = time.monotonic() - seconds
        with self._lock:
            return sum(moment > since for moment in self._times[endpoint, variant])

    def invoke(self, endpoint: str, request: Request) -> Response:
        """Answer a request for an endpoint.

        :raises AwsError: when it serves nothing (ValidationError), or the model answers with an error or not
            at all (ModelError)
        """
        arrived = time.perf_counter()
        while True:
            fleet = self._endpoints.fleet(endpoint, request.headers.get(_TARGET_VARIANT))
            if fleet is None:
                raise AwsError("ValidationError", f"Endpoint {endpoint} of account {ACCOUNT_ID} not found.")
            try:
                return self._forward(fleet, endpoint, request, arrived)
            except FleetEnded:
                continue  # an update has swapped the fleets since

    def _forward(self, fleet: Fleet, endpoint: str, request: Request, arrived: float) -> Response:
        variant = fleet.choose(request.headers.get(_TARGET_VARIANT))
        headers = {"Content-Type": request.content_type or "application/octet-stream"}
        for name in ("Accept", _CUSTOM_ATTRIBUTES):
            if name in request.headers:
                headers[name] = request.headers[name]
        with fleet.instance(variant) as instance:
            self._remember(endpoint, variant)
            started = time.perf_counter()
            concurrent = instance.in_flight
            try:
                answer = fleet.request(instance, request.get_data(), headers)
                status, body = answer.status, answer.data
            except urllib3.exceptions.HTTPError as error:
                status, body = 0, f"The model gave no answer: {error}".encode()
            answered = time.perf_counter()
            self._metrics.put(
                endpoint=endpoint,
                variant=variant,
                endpoint_config=fleet.endpoint_config,
                instances=len(fleet.variants[variant].instances),
                concurrent=concurrent,
                status=status,
                model_seconds=answered - started,
                overhead_seconds=started - arrived,
            )
        if status == 0 or status >= 400:
            raise _model_error(self._region, endpoint, status, body.decode(errors="replace"))
        return Response(
            body,
            content_type=answer.headers.get("Content-Type", "application/octet-stream"),
            headers={"x-Amzn-Invoked-Production-Variant": variant},
        )

    def _remember(self, endpoint: str, variant: str) -> None:
        now = time.monotonic()
        with self._lock:
            times = self._times[endpoint, variant]
            times.append(now)
            while times[0] < now - _REMEMBERED_SECONDS:
                times.popleft()


def _model_error(region: str, endpoint: str, status: int, text: str) -> AwsError:
    side = "client" if 400 <= status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    return AwsError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{text[:_MESSAGE_CHARACTERS]}". '
        f"See the log group {group} in account {ACCOUNT_ID} for more information.",
        424,
        OriginalStatusCode=status,
        OriginalMessage=text,
        LogStreamArn=f"arn:aws:logs:{region}:{ACCOUNT_ID}:log-group:{group}",
    )
