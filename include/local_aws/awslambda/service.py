"""Lambda's operations: the table of what answers or checks each; moto answers the rest."""

import base64
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws.awslambda import function_urls, policies, refusals, url_requests
from include.local_aws.awslambda.aliases import Aliases
from include.local_aws.awslambda.concurrency import Concurrency
from include.local_aws.awslambda.execution_environment import MAX_PAYLOAD_BYTES, Outcome
from include.local_aws.awslambda.fleet import Fleet, ProvisionedConcurrency, Target
from include.local_aws.awslambda.function_metrics import FunctionMetrics
from include.local_aws.awslambda.function_urls import FunctionUrl, FunctionUrls
from include.local_aws.awslambda.moto_aliases import draw_qualifier, find_alias
from include.local_aws.awslambda.moto_functions import (
    check_exists,
    find_function,
    function_arn,
)
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import Members, members_of, path_operation, path_response
from include.local_aws.processes import ChildProcesses
from include.local_aws.regions import region_of

_DATED_PATHS = re.compile(r"/\d{4}-\d\d-\d\d/")
_FUNCTION = re.compile(r"(?:(?:arn:[\w-]+:lambda:[\w-]+:)?\d{12}:function:)?([\w-]+)(?::(\$LATEST|[\w-]+))?")
_LOG_TAIL_BYTES = 4096
_NOT_PUBLISHED = "The function resource provided must be an alias or a published version."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A request for an operation, with the members in its path."""

    request: Request
    region: str
    path: dict[str, str]

    @property
    def function(self) -> tuple[str, str]:
        """The region and the name of the function."""
        return self.region, self._named[1]

    @property
    def qualifier(self) -> str | None:
        """The version or alias, which may be part of the function's name or ARN."""
        return self._named[2] or self.request.args.get("Qualifier")

    @property
    def members(self) -> Members:
        """The members in the body."""
        return members_of(self.request)

    @property
    def _named(self) -> re.Match[str]:
        function = self.path["FunctionName"]
        named = _FUNCTION.fullmatch(function)
        if named is None:
            raise AwsError("ValidationException", f"{function!r} is not the name or ARN of a function.")
        return named


class LambdaService:
    """Lambda in front of moto's."""

    def __init__(self, config: Config, children: ChildProcesses) -> None:
        self._config = config
        self._fleet = Fleet(config, children)
        self._metrics = FunctionMetrics(config)
        self._urls = FunctionUrls()
        self._aliases = aliases = Aliases(self._fleet)
        self._concurrency = Concurrency(config, self._fleet)
        # A handler that returns None leaves the request to moto.
        self.operations: dict[str, Callable[[Call], Members | Response | None]] = {
            "AddPermission": lambda call: policies.check_new_statement(
                *call.function, call.qualifier, call.members
            ),
            "CreateAlias": lambda call: aliases.create(*call.function, call.members),
            "CreateFunction": lambda call: refusals.check_creation(
                call.members, len(call.request.get_data())
            ),
            "CreateFunctionUrlConfig": self._create_url,
            "DeleteAlias": self._delete_alias,
            "DeleteFunction": self._delete_function,
            "DeleteFunctionUrlConfig": self._delete_url,
            "DeleteProvisionedConcurrencyConfig": self._delete_provisioned,
            "GetAccountSettings": lambda call: self._concurrency.settings(call.region),
            "GetAlias": lambda call: aliases.get(*call.function, call.path["Name"]),
            "GetFunctionUrlConfig": lambda call: self._url(call).described(config.url),
            "GetPolicy": lambda call: policies.get(*call.function, call.qualifier),
            "GetProvisionedConcurrencyConfig": self._get_provisioned,
            "Invoke": self._invoke,
            "ListAliases": lambda call: aliases.list(
                *call.function, call.request.args.get("FunctionVersion")
            ),
            "ListFunctionUrlConfigs": self._list_urls,
            "ListProvisionedConcurrencyConfigs": self._list_provisioned,
            "ListVersionsByFunction": self._check_exists,
            "PublishVersion": self._check_publication,
            "PutFunctionConcurrency": self._check_reservation,
            "PutProvisionedConcurrencyConfig": self._put_provisioned,
            "RemovePermission": self._remove_permission,
            "TagResource": lambda call: refusals.check_taggable(call.path["Resource"]),
            "UpdateAlias": lambda call: aliases.update(*call.function, call.path["Name"], call.members),
            "UpdateFunctionCode": self._check_code,
            "UpdateFunctionConfiguration": self._check_configuration,
            "UpdateFunctionUrlConfig": self._update_url,
        }

    def respond(self, request: Request) -> Response | None:
        """Answer a request for one of the operations or to a function URL.

        :raises AwsError: as AWS answers
        """
        if request.path.startswith(function_urls.PATH):
            return self._answer_url(request)
        if not _DATED_PATHS.match(request.path):
            return None
        name, path = path_operation("lambda", request)
        if name not in self.operations:
            return None
        answer = self.operations[name](Call(request, region_of(request, self._config.region), path))
        return path_response("lambda", name, answer) if isinstance(answer, dict) else answer

    def close(self) -> None:
        """End all execution environments, and stop sending metrics."""
        self._fleet.close()
        self._metrics.close()

    def _check_exists(self, call: Call) -> None:
        check_exists(*call.function)

    def _check_code(self, call: Call) -> None:
        refusals.check_update(*call.function, call.members)
        refusals.check_package(call.members)

    def _check_configuration(self, call: Call) -> None:
        refusals.check_update(*call.function, call.members)
        refusals.check_configuration(call.members)

    def _check_publication(self, call: Call) -> None:
        refusals.check_update(*call.function, call.members)
        refusals.check_code(*call.function, call.members.get("CodeSha256"))

    def _check_reservation(self, call: Call) -> None:
        refusals.check_unqualified(call.qualifier)
        check_exists(*call.function, "$LATEST")
        count = int(call.members.get("ReservedConcurrentExecutions", 0))
        self._concurrency.check_reservation(*call.function, count)

    def _delete_function(self, call: Call) -> None:
        refusals.check_deletion(*call.function, call.qualifier)
        self._fleet.forget(*call.function, call.qualifier)
        if call.qualifier is None:
            self._urls.forget(*call.function)

    def _delete_alias(self, call: Call) -> Members:
        self._urls.forget(*call.function, call.path["Name"])
        self._aliases.delete(*call.function, call.path["Name"])
        return {}

    def _remove_permission(self, call: Call) -> Members:
        policies.remove(*call.function, call.qualifier, call.path["StatementId"])
        return {}

    def _invoke(self, call: Call) -> Response:
        request, (region, name), qualifier = call.request, call.function, call.qualifier
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
            event_call = (region, name, qualifier, event, request_id)
            threading.Thread(target=self._run_unattended, args=event_call, daemon=True).start()
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
        """Return the outcome, and the version that ran."""
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

    def _run_unattended(self, *call: Any) -> None:
        try:
            self._run(*call)
        except AwsError as error:
            _log.warning("The event for the function %s was lost: %s", call[1], error.message)

    def _create_url(self, call: Call) -> Members:
        try:
            check_exists(*call.function, call.qualifier)
        except AwsError:
            raise AwsError("ResourceNotFoundException", "Function does not exist", 404) from None
        url = self._urls.create(*call.function, call.qualifier, call.members)
        return url.described(self._config.url)

    def _update_url(self, call: Call) -> Members:
        return self._urls.update(self._url(call), call.members).described(self._config.url)

    def _delete_url(self, call: Call) -> Members:
        self._urls.delete(self._url(call))
        return {}

    def _list_urls(self, call: Call) -> Members:
        check_exists(*call.function)
        found = [url.described(self._config.url) for url in self._urls.of_function(*call.function)]
        return {"FunctionUrlConfigs": found}

    def _url(self, call: Call) -> FunctionUrl:
        return self._urls.get(*call.function, call.qualifier)

    def _answer_url(self, request: Request) -> Response:
        url = self._urls.by_path(request.path)
        if url is None or not url_requests.is_allowed(url, request):
            return _json({"Message": "Forbidden"}, 403)
        event = url_requests.event(url, request)
        outcome, _ = self._run(url.region, url.name, url.qualifier, event, str(uuid.uuid4()))
        return url_requests.response(outcome.payload, failed=outcome.failed)

    def _list_provisioned(self, call: Call) -> Members:
        check_exists(*call.function)
        configs = self._fleet.provisioned(*call.function)
        return {
            "ProvisionedConcurrencyConfigs": [
                {"FunctionArn": function_arn(*call.function, qualifier), **_described(item)}
                for qualifier, item in sorted(configs.items())
            ]
        }

    def _put_provisioned(self, call: Call) -> Members:
        target = _provisioned_target(
            call, "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
        count = _requested(call.members)
        self._concurrency.check_provisioning(target, count)
        return _described(self._fleet.provision(target, count))

    def _get_provisioned(self, call: Call) -> Members:
        target = _provisioned_target(call, _NOT_PUBLISHED)
        found = self._fleet.provisioned(*call.function).get(target.qualifier)
        if found is None:
            raise AwsError(
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
                404,
            )
        return _described(found)

    def _delete_provisioned(self, call: Call) -> Members:
        target = _provisioned_target(call, _NOT_PUBLISHED)
        self._fleet.forget(*call.function, target.qualifier)
        return {}


def _provisioned_target(call: Call, not_published: str) -> Target:
    """Return the version or alias of a request about provisioned concurrency.

    :raises AwsError: if it does not exist, or is ``$LATEST``
    """
    qualifier = call.qualifier
    if qualifier is None:
        raise AwsError("ValidationException", "Qualifier must name a version or an alias.")
    if not qualifier.isdecimal() and qualifier != "$LATEST":
        find_alias(*call.function, qualifier)
    if find_function(*call.function, qualifier).version == "$LATEST":
        raise AwsError("InvalidParameterValueException", not_published)
    return Target(*call.function, qualifier)


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


def _requested(members: Members) -> int:
    requested = members.get("ProvisionedConcurrentExecutions")
    if not isinstance(requested, int) or requested < 1:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{requested}' at 'provisionedConcurrentExecutions' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1",
        )
    return requested


def _described(item: ProvisionedConcurrency) -> Members:
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


def _json(body: Members, status: int) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
