"""Answers what moto's Lambda can't, and refuses what AWS refuses; the rest stays moto's."""

import base64
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws.awslambda import function_urls, policies, refusals, url_requests
from include.local_aws.awslambda.aliases import Aliases
from include.local_aws.awslambda.concurrency import Concurrency
from include.local_aws.awslambda.execution_environment import MAX_PAYLOAD_BYTES, Outcome
from include.local_aws.awslambda.fleet import Fleet, ProvisionedConcurrency, Target
from include.local_aws.awslambda.function_metrics import FunctionMetrics
from include.local_aws.awslambda.function_urls import FunctionUrls
from include.local_aws.awslambda.moto_aliases import draw_qualifier, find_alias
from include.local_aws.awslambda.moto_functions import (
    check_exists,
    find_function,
    function_arn,
    keep_updates_in_progress,
    publish_versions_as_aws_does,
)
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses

Handler = Callable[..., Response | None]

_CREATE = re.compile(r"/2015-03-31/functions/?")
_SETTINGS = re.compile(r"/2016-08-19/account-settings/?")
_TAGS = re.compile(r"/2017-03-31/tags/(.+)")
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

        self._aliases = Aliases(self._fleet)
        self._concurrency = Concurrency(config, self._fleet)
        functions = r"/2015-03-31/functions"
        # By path, of which the first group names the function; what a handler answers None to is moto's.
        self._routes: list[tuple[re.Pattern[str], Handler]] = [
            (re.compile(rf"{functions}/([^/]+)/invocations/?"), self._invoke),
            (re.compile(rf"{functions}/([^/]+)/aliases/?"), self._answer_aliases),
            (re.compile(rf"{functions}/([^/]+)/aliases/([^/]+)"), self._answer_alias),
            (re.compile(rf"{functions}/([^/]+)/policy/?"), self._answer_policy),
            (re.compile(rf"{functions}/([^/]+)/policy/([^/]+)"), self._remove_permission),
            (re.compile(rf"{functions}/([^/]+)/(code|configuration|versions)/?"), self._check_update),
            (re.compile(rf"{functions}/([^/]+)/?"), self._check_deletion),
            (re.compile(r"/2017-10-31/functions/([^/]+)/concurrency/?"), self._check_reservation),
            (
                re.compile(r"/2019-09-30/functions/([^/]+)/provisioned-concurrency/?"),
                self._provisioned_concurrency,
            ),
            (re.compile(r"/2021-10-31/functions/([^/]+)/url/?"), self._function_url),
            (re.compile(r"/2021-10-31/functions/([^/]+)/urls/?"), self._list_urls),
        ]

    def respond(self, request: Request) -> Response | None:
        """Answer what is not moto's; guard versions that aliases use and functions that are being updated.

        :raises AwsError: as AWS would
        """
        path = request.path
        if path.startswith(function_urls.PATH):
            return self._answer_url(request)
        if _SETTINGS.fullmatch(path):
            return _json(self._concurrency.settings(self._region(request)))
        if request.method == "POST" and _CREATE.fullmatch(path):
            body = request.get_data()
            refusals.check_creation(_members(request), len(body))
            return None
        if request.method == "POST" and (match := _TAGS.fullmatch(path)):
            refusals.check_taggable(match[1])
            return None
        for pattern, handler in self._routes:
            if match := pattern.fullmatch(path):
                return handler(request, *self._target(request, match[1]), *match.groups()[1:])
        return None

    def _answer_aliases(self, request: Request, region: str, name: str, _: str | None) -> Response | None:
        if request.method == "POST":
            return _json(self._aliases.create(region, name, _members(request)), 201)
        return _json(self._aliases.list(region, name, request.args.get("FunctionVersion")))

    def _answer_alias(self, request: Request, region: str, name: str, _: str | None, alias: str) -> Response:
        if request.method == "PUT":
            return _json(self._aliases.update(region, name, alias, _members(request)))
        if request.method == "DELETE":
            self._urls.forget(region, name, alias)
            self._aliases.delete(region, name, alias)
            return Response(status=204)
        return _json(self._aliases.get(region, name, alias))

    def _answer_policy(
        self, request: Request, region: str, name: str, qualifier: str | None
    ) -> Response | None:
        if request.method == "GET":
            return _json(policies.get(region, name, qualifier))
        policies.check_new_statement(region, name, qualifier, _members(request))
        return None

    def _remove_permission(
        self, request: Request, region: str, name: str, qualifier: str | None, statement_id: str
    ) -> Response:
        policies.remove(region, name, qualifier, statement_id)
        return Response(status=204)

    def _check_update(
        self, request: Request, region: str, name: str, qualifier: str | None, what: str
    ) -> Response | None:
        if request.method == "GET":
            if what == "versions":
                check_exists(region, name)
            return None
        members = _members(request)
        refusals.check_update(region, name, members)
        if what == "code":
            refusals.check_package(members)
        if what == "configuration":
            refusals.check_configuration(members)
        if what == "versions":
            refusals.check_code(region, name, members.get("CodeSha256"))
        return None

    def _check_deletion(self, request: Request, region: str, name: str, version: str | None) -> None:
        if request.method == "DELETE":
            refusals.check_deletion(region, name, version)
            self._fleet.forget(region, name, version)
            if version is None:
                self._urls.forget(region, name)

    def _check_reservation(self, request: Request, region: str, name: str, qualifier: str | None) -> None:
        if request.method == "PUT":
            refusals.check_unqualified(qualifier)
            check_exists(region, name, "$LATEST")
            count = int(_members(request).get("ReservedConcurrentExecutions", 0))
            self._concurrency.check_reservation(region, name, count)

    def _list_urls(self, request: Request, region: str, name: str, _: str | None) -> Response:
        check_exists(region, name)
        found = [url.described(self._config.url) for url in self._urls.of_function(region, name)]
        return _json({"FunctionUrlConfigs": found})

    def close(self) -> None:
        """End every execution environment, and stop counting."""
        self._fleet.close()
        self._metrics.close()

    def _target(self, request: Request, function: str) -> tuple[str, str, str | None]:
        """Region, name and qualifier, of which name and qualifier may come as one or in an ARN."""
        named = _FUNCTION.fullmatch(function)
        if named is None:
            raise AwsError("ValidationException", f"{function!r} is not the name or ARN of a function.")
        return self._region(request), named[1], named[2] or request.args.get("Qualifier")

    def _region(self, request: Request) -> str:
        region = _REGION.search(request.headers.get("Authorization", ""))
        return region[1] if region else self._config.region

    def _invoke(self, request: Request, region: str, name: str, qualifier: str | None) -> Response:
        find_function(region, name, qualifier)
        refusals.check_not_pending(region, name)
        event = request.get_data() or b"{}"
        _check_event(event)
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        refusals.check_event(kind, len(event))
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
        members = _members(request)
        if request.method == "POST":
            try:
                check_exists(region, name, qualifier)
            except AwsError:
                raise AwsError("ResourceNotFoundException", "Function does not exist", 404) from None
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
            check_exists(region, name)
            configs = self._fleet.provisioned(region, name)
            items = [
                {"FunctionArn": function_arn(region, name, each), **_described(item)}
                for each, item in sorted(configs.items())
            ]
            return _json({"ProvisionedConcurrencyConfigs": items})
        if qualifier is None:
            raise AwsError("ValidationException", "Qualifier must name a version or an alias.")
        target = Target(region, name, qualifier)
        if not qualifier.isdecimal() and qualifier != "$LATEST":
            find_alias(region, name, qualifier)
        function = find_function(region, name, qualifier)
        if request.method == "PUT":
            if function.version == "$LATEST":
                raise AwsError(
                    "InvalidParameterValueException",
                    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
                )
            count = _requested(request)
            self._concurrency.check_provisioning(target, count)
            item = self._fleet.provision(target, count)
            return _json(_described(item), 202)
        if function.version == "$LATEST":
            raise AwsError(
                "InvalidParameterValueException",
                "The function resource provided must be an alias or a published version.",
            )
        if request.method == "DELETE":
            self._fleet.forget(region, name, qualifier)
            return Response(status=204)
        found = self._fleet.provisioned(region, name).get(qualifier)
        if found is None:
            raise AwsError(
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
                404,
            )
        return _json(_described(found))


def _members(request: Request) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(request.get_data() or b"{}")
    return members


def _check_event(event: bytes) -> None:
    if len(event) > MAX_PAYLOAD_BYTES:
        raise AwsError(
            "RequestTooLargeException",
            f"Request must be smaller than {MAX_PAYLOAD_BYTES} bytes for the InvokeFunction operation",
            413,
        )
    try:
        json.loads(event, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise AwsError(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}"
        ) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _requested(request: Request) -> int:
    requested = _members(request).get("ProvisionedConcurrentExecutions")
    if not isinstance(requested, int) or requested < 1:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{requested}' at 'provisionedConcurrentExecutions' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1",
        )
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
