"""Answers what moto's Lambda can't: Invoke, provisioned concurrency and URLs; the rest stays moto's."""

import base64
import json
import logging
import re
import threading
import time
import uuid
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws.awslambda import function_urls, url_requests
from include.local_aws.awslambda.execution_environment import MAX_PAYLOAD_BYTES, Outcome
from include.local_aws.awslambda.fleet import Fleet, ProvisionedConcurrency, Target
from include.local_aws.awslambda.function_metrics import FunctionMetrics
from include.local_aws.awslambda.function_urls import FunctionUrls
from include.local_aws.awslambda.moto_functions import (
    aliases_of_version,
    draw_qualifier,
    find_function,
    function_arn,
    is_being_updated,
    keep_updates_in_progress,
    publish_versions_as_aws_does,
)
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses

_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations/?")
_FUNCTION_PATH = re.compile(r"/2015-03-31/functions/([^/]+)/?")
_ALIAS = re.compile(r"/2015-03-31/functions/([^/]+)/aliases/([^/]+)")
_UPDATE = re.compile(r"/2015-03-31/functions/([^/]+)/(code|configuration|versions)/?")
_URL = re.compile(r"/2021-10-31/functions/([^/]+)/url/?")
_URLS = re.compile(r"/2021-10-31/functions/([^/]+)/urls/?")
_PROVISIONED = re.compile(r"/2019-09-30/functions/([^/]+)/provisioned-concurrency/?")
_FUNCTION = re.compile(r"(?:(?:arn:[\w-]+:lambda:[\w-]+:)?\d{12}:function:)?([\w-]+)(?::(\$LATEST|[\w-]+))?")
_REGION = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/")
_LOG_TAIL_BYTES = 4096

_log = logging.getLogger(__name__)


class LambdaService:
    """Lambda in front of moto's."""

    def __init__(self, config: Config, children: ChildProcesses) -> None:
        self._config = config
        publish_versions_as_aws_does()
        keep_updates_in_progress(config.function_update_seconds)
        self._fleet = Fleet(config, children)
        self._metrics = FunctionMetrics(config)
        self._urls = FunctionUrls()

    def respond(self, request: Request) -> Response | None:
        """Answer what is not moto's; guard versions that aliases use and functions that are being updated.

        :raises AwsError: as AWS would
        """
        if request.path.startswith(function_urls.PATH):
            return self._answer_url(request)
        if request.method == "POST" and (match := _INVOKE.fullmatch(request.path)):
            return self._invoke(request, *self._target(request, match[1]))
        if match := _PROVISIONED.fullmatch(request.path):
            return self._provisioned_concurrency(request, *self._target(request, match[1]))
        if match := _URL.fullmatch(request.path):
            return self._function_url(request, *self._target(request, match[1]))
        if match := _URLS.fullmatch(request.path):
            region, name, _ = self._target(request, match[1])
            find_function(region, name)
            found = [url.described(self._config.url) for url in self._urls.of_function(region, name)]
            return _json({"FunctionUrlConfigs": found})
        self._guard(request)
        return None

    def _guard(self, request: Request) -> None:
        """Refuse what moto would do and AWS would not, and see what moto is about to delete."""
        if request.method in ("PUT", "POST") and (match := _UPDATE.fullmatch(request.path)):
            region, name, _ = self._target(request, match[1])
            _check_not_being_updated(region, name)
        if request.method == "DELETE" and (match := _FUNCTION_PATH.fullmatch(request.path)):
            region, name, version = self._target(request, match[1])
            _check_version_is_free(region, name, version)
            if version is None:
                self._urls.forget(region, name)
        if request.method == "DELETE" and (match := _ALIAS.fullmatch(request.path)):
            region, name, _ = self._target(request, match[1])
            self._urls.forget(region, name, match[2])

    def close(self) -> None:
        """End every execution environment, and stop counting."""
        self._fleet.close()
        self._metrics.close()

    def _target(self, request: Request, function: str) -> tuple[str, str, str | None]:
        """Region, name and qualifier, of which name and qualifier may come as one or in an ARN."""
        named = _FUNCTION.fullmatch(function)
        if named is None:
            raise AwsError("ValidationException", f"{function!r} is not the name or ARN of a function.")
        region = _REGION.search(request.headers.get("Authorization", ""))
        return (
            region[1] if region else self._config.region,
            named[1],
            named[2] or request.args.get("Qualifier"),
        )

    def _invoke(self, request: Request, region: str, name: str, qualifier: str | None) -> Response:
        find_function(region, name, qualifier)
        event = request.get_data() or b"{}"
        _check_event(event)
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        request_id = str(uuid.uuid4())
        if kind == "DryRun":
            return Response(status=204)
        if kind == "Event":
            call = (region, name, qualifier, event, request_id)
            threading.Thread(target=self._run_unattended, args=call, daemon=True).start()
            return Response(status=202, headers={"x-amzn-RequestId": request_id})
        outcome, version = self._run(region, name, qualifier, event, request_id)
        response = Response(outcome.payload, 200, content_type="application/json")
        response.headers["x-amzn-RequestId"] = request_id
        response.headers["X-Amz-Executed-Version"] = version
        if outcome.failed:
            response.headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            tail = outcome.log.encode()[-_LOG_TAIL_BYTES:]
            response.headers["X-Amz-Log-Result"] = base64.b64encode(tail).decode()
        return response

    def _run(
        self, region: str, name: str, qualifier: str | None, event: bytes, request_id: str
    ) -> tuple[Outcome, str]:
        """The outcome, and the version that ran."""
        function = find_function(region, name, draw_qualifier(region, name, qualifier))
        arn = function_arn(region, name, qualifier)
        try:
            with self._fleet.environment(function, qualifier) as environment:
                concurrent = self._fleet.in_flight(region, name)
                started = time.monotonic()
                outcome = environment.invoke(event, request_id=request_id, function_arn=arn)
                seconds = time.monotonic() - started
        except AwsError as error:
            if error.code == "TooManyRequestsException":
                self._metrics.throttled(name, qualifier)
            raise
        is_provisioned_for = qualifier in self._fleet.provisioned(region, name)
        self._metrics.ran(
            name,
            qualifier,
            seconds=seconds,
            failed=outcome.failed,
            concurrent=concurrent,
            provisioned=environment.provisioned,
            spilled_over=is_provisioned_for and not environment.provisioned,
        )
        return outcome, function.version

    def _function_url(self, request: Request, region: str, name: str, qualifier: str | None) -> Response:
        find_function(region, name, qualifier)
        members = json.loads(request.get_data() or b"{}")
        if request.method == "POST":
            url = self._urls.create(region, name, qualifier, members)
            return _json(url.described(self._config.url), 201)
        url = self._urls.get(region, name, qualifier)
        if request.method == "DELETE":
            self._urls.delete(url)
            return Response(status=204)
        if request.method == "PUT":
            url = self._urls.update(url, members)
        return _json(url.described(self._config.url))

    def _answer_url(self, request: Request) -> Response:
        url = self._urls.by_path(request.path)
        if url is None or not url_requests.is_allowed(url, request):
            return _json({"Message": "Forbidden"}, 403)
        event = url_requests.event(url, request)
        outcome, _ = self._run(url.region, url.name, url.qualifier, event, str(uuid.uuid4()))
        return url_requests.response(outcome.payload, failed=outcome.failed)

    def _run_unattended(self, *call: Any) -> None:
        try:
            self._run(*call)
        except AwsError as error:
            _log.warning("The event for function %s was lost: %s", call[1], error.message)

    def _provisioned_concurrency(
        self, request: Request, region: str, name: str, qualifier: str | None
    ) -> Response:
        if request.method == "GET" and request.args.get("List") == "ALL":
            find_function(region, name)
            configs = self._fleet.provisioned(region, name)
            items = [
                {"FunctionArn": function_arn(region, name, each), **_described(item)}
                for each, item in sorted(configs.items())
            ]
            return _json({"ProvisionedConcurrencyConfigs": items})
        if qualifier is None:
            raise AwsError("ValidationException", "Qualifier must name a version or an alias.")
        function = find_function(region, name, qualifier)
        target = Target(region, name, qualifier)
        if request.method == "PUT":
            if function.version == "$LATEST":
                raise AwsError(
                    "InvalidParameterValueException",
                    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
                )
            item = self._fleet.provision(target, _requested(request))
            return _json(_described(item), 202)
        if request.method == "DELETE":
            self._fleet.unprovision(target)
            return Response(status=204)
        found = self._fleet.provisioned(region, name).get(qualifier)
        if found is None:
            raise AwsError(
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
                404,
            )
        return _json(_described(found))


def _check_not_being_updated(region: str, name: str) -> None:
    if is_being_updated(region, name):
        raise AwsError(
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource: "
            f"{function_arn(region, name)}",
            409,
        )


def _check_version_is_free(region: str, name: str, version: str | None) -> None:
    aliases = aliases_of_version(region, name, version) if version else []
    if aliases:
        raise AwsError(
            "ResourceConflictException",
            f"Unable to delete version because the following aliases reference it: [{', '.join(aliases)}]",
            409,
        )


def _check_event(event: bytes) -> None:
    if len(event) > MAX_PAYLOAD_BYTES:
        raise AwsError(
            "RequestTooLargeException",
            f"Request must be smaller than {MAX_PAYLOAD_BYTES} bytes for the InvokeFunction operation",
            413,
        )
    try:
        json.loads(event)
    except (ValueError, RecursionError) as error:
        raise AwsError(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}"
        ) from None


def _requested(request: Request) -> int:
    body = json.loads(request.get_data() or b"{}")
    requested = body.get("ProvisionedConcurrentExecutions")
    if not isinstance(requested, int) or requested < 1:
        raise AwsError("ValidationException", "ProvisionedConcurrentExecutions must be a number from 1.")
    return requested


def _described(item: ProvisionedConcurrency) -> dict[str, Any]:
    described = {
        "RequestedProvisionedConcurrentExecutions": item.requested,
        "AvailableProvisionedConcurrentExecutions": item.ready,
        "AllocatedProvisionedConcurrentExecutions": item.ready,
        "Status": item.status,
        "LastModified": time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(item.modified)),
    }
    if item.status == "FAILED":
        described["StatusReason"] = "FUNCTION_ERROR_INIT_FAILURE"
    return described


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
