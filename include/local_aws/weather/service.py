"""The weather around the server: refuses calls, and changes answers, as AWS does while it is busy or catching up."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws.call_log import read_call
from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError
from include.local_aws.gateway import WsgiApplication, json_response, replayed
from include.local_aws.principals import Principal
from include.local_aws.weather import answers
from include.local_aws.weather.tag_index import TagIndex
from include.local_aws.weather.throttling import Throttle

PATH = "/_local_aws/weather"
"""Where the server tells how often each weather has happened."""
_OWN_PATHS = "/_local_aws/"
_PAGE = 1
"""How many items a filtered page is taken from, where a caller names no number: AWS's own is 10."""
_INDEX_LAG = 6
"""How many times as long as the rest the tagging index lags: in AWS minutes, not seconds."""

_log = logging.getLogger(__name__)

Call = dict[str, Any]


class Weather:
    """Gives the callers of an application weather of some kinds.

    What local AWS starts has none, since local AWS calls itself with the same access keys.

    :param seconds: how long a lag lasts, but that of the tagging index, which lasts six times as long. A role, an
        instance profile, an endpoint configuration and a security group are known so long after the first call that
        needs them, however old they are: on a laptop, the stack is made long before its roles are used. An instance is
        known so long after its launch.
    :param clock: returns seconds, from any beginning
    """

    def __init__(
        self,
        application: WsgiApplication,
        region: str,
        kinds: frozenset[str],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._kinds = kinds
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known_from: dict[tuple[str, str], float] = {}
        self._new_groups: set[str] = set()
        self._throttle = Throttle()
        self.seen: Counter[str] = Counter()
        """How often each weather has happened: its kind, a slash, and what it met."""
        self._index = TagIndex(region, seconds * _INDEX_LAG, clock, self.seen)
        if "tags" in kinds:
            self._index.install()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ, populate_request=False)
        if request.path == PATH:
            return json_response(+self.seen)(environ, start_response)
        if request.path.startswith(_OWN_PATHS):
            return self._application(environ, start_response)
        body = request.get_data()
        call = _read(replayed(environ, body), body)
        if call is None or call["operation"] is None or call["principal"] in set(Principal):
            return self._application(replayed(environ, body), start_response)
        met = self._refusal(call)
        if met is not None:
            what, error = met
            self._note(what, f"{call['operation']} was refused: {error.code}")
            return answers.refusal(call["service"], request.content_type, error)(environ, start_response)
        if self._takes_small_pages(call):
            body = json.dumps({**json.loads(body), "MaxResults": _PAGE}).encode()
        application = self._application
        if self._changes_answer(call):
            application = self._changed(call, Response.from_app(application, replayed(environ, body)))
        answer = application(replayed(environ, body), start_response)
        if "tags" in self._kinds:
            self._index.look()
        return answer

    def _refusal(self, call: Call) -> tuple[str, AwsError] | None:
        service, operation = call["service"], call["operation"]
        if "throttling" in self._kinds:
            error = self._throttle.refusal(service, operation)
            if error is not None:
                return f"throttling/{service}", error
        found = ((kind, error) for kind, error in self._lags(call) if kind.partition("/")[0] in self._kinds)
        return next(found, None)

    def _lags(self, call: Call) -> Iterator[tuple[str, AwsError]]:
        """Name what AWS does not know yet of what a call names."""
        service, operation, parameters = call["service"], call["operation"], call["parameters"]
        if service == "sagemaker" and operation.startswith("Create"):
            for role in _sagemaker_roles(parameters):
                if self._is_new("sagemaker", role):
                    yield (
                        "roles/sagemaker",
                        AwsError(
                            "ValidationException",
                            f"Could not assume role {role}. Please ensure that the role exists and allows principal "
                            "'sagemaker.amazonaws.com' to assume the role.",
                        ),
                    )
        if service == "sagemaker" and operation in ("CreateEndpoint", "UpdateEndpoint"):
            name = parameters.get("EndpointConfigName", "")
            if self._is_new("endpoint-config", name):
                arn = f"arn:aws:sagemaker:{call['region']}:{ACCOUNT_ID}:endpoint-config/{name.lower()}"
                yield (
                    "configs",
                    AwsError("ValidationException", f'Could not find endpoint configuration "{arn}".'),
                )
        if (service, operation) == ("lambda", "CreateFunction") and self._is_new(
            "lambda", parameters.get("Role", "")
        ):
            yield (
                "roles/lambda",
                AwsError(
                    "InvalidParameterValueException",
                    "The role defined for the function cannot be assumed by Lambda.",
                ),
            )
        if service == "ec2":
            yield from self._ec2_lags(operation, parameters)
        if (service, operation) == ("ssm", "ListCommands") and self._is_booting(
            parameters.get("InstanceId", "")
        ):
            yield "ec2/command", AwsError("InvalidInstanceId", "")

    def _ec2_lags(self, operation: str, parameters: dict[str, Any]) -> Iterator[tuple[str, AwsError]]:
        for instance in parameters.get("InstanceIds", []):
            if self._is_booting(instance):
                yield (
                    "ec2/instance",
                    AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance}' does not exist"),
                )
        if operation != "RunInstances":
            return
        for member, profile in parameters.get("IamInstanceProfile", {}).items():
            if self._is_new("ec2", profile):
                yield (
                    "roles/ec2",
                    AwsError(
                        "InvalidParameterValue",
                        f"Value ({profile}) for parameter iamInstanceProfile.{member.lower()} is invalid. "
                        f"Invalid IAM Instance Profile {'ARN' if member == 'Arn' else 'name'}",
                    ),
                )
        interfaces = parameters.get("NetworkInterfaces", [])
        groups = [
            *parameters.get("SecurityGroupIds", []),
            *(one for nic in interfaces for one in nic.get("Groups", [])),
        ]
        for group in groups:
            if group in self._new_groups and self._is_new("group", group):
                yield (
                    "ec2/group",
                    AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist"),
                )

    def _is_new(self, kind: str, name: str) -> bool:
        """Return whether something is unknown yet: it is known some seconds after the first call that needs it."""
        if not name:  # the service says that it is missing
            return False
        with self._lock:
            now = self._clock()
            return now < self._known_from.setdefault((kind, name), now + self._seconds)

    def _is_booting(self, instance: str) -> bool:
        """Return whether an instance is unknown yet: it is known some seconds after its launch."""
        return self._clock() < self._known_from.get(("instance", instance), float("-inf"))

    def _takes_small_pages(self, call: Call) -> bool:
        return (
            "pages" in self._kinds
            and call["service"] == "sagemaker"
            and call["operation"].startswith("List")
            and "StatusEquals" in call["parameters"]
            and "MaxResults" not in call["parameters"]
        )

    def _changes_answer(self, call: Call) -> bool:
        """Return whether an answer is read, and perhaps changed; not those that are long."""
        if call["service"] == "ec2" and "ec2" in self._kinds:
            return call["operation"] in ("RunInstances", "CreateSecurityGroup", "DescribeInstances")
        return (
            "pages" in self._kinds and call["service"] == "sagemaker" and call["operation"].startswith("List")
        )

    def _changed(self, call: Call, response: Response) -> Response:
        if response.status_code != 200:
            return response
        body = response.get_data()
        if call["service"] == "sagemaker":
            answer = json.loads(body)
            if "NextToken" in answer and not any(
                isinstance(value, list) and value for value in answer.values()
            ):
                self._note("pages/empty", f"{call['operation']} returned an empty page with a token")
        elif call["operation"] == "RunInstances":
            for instance in answers.instance_ids(body):
                # A repeated request launches nothing.
                self._known_from.setdefault(("instance", instance), self._clock() + self._seconds)
        elif call["operation"] == "CreateSecurityGroup":
            self._new_groups.add(answers.group_id(body))
        else:
            hidden = {instance for instance in answers.instance_ids(body) if self._is_booting(instance)}
            if hidden:
                self._note("ec2/listing", f"DescribeInstances left out {', '.join(sorted(hidden))}")
                response.set_data(answers.without_instances(body, hidden))
        return response

    def _note(self, what: str, text: str) -> None:
        with self._lock:
            self.seen[what] += 1
        _log.info("Weather %s: %s", what, text)


def _read(environ: dict[str, Any], body: bytes) -> Call | None:
    """Read a call; None where it is malformed, which the service itself says."""
    try:
        return read_call(environ, body)
    except Exception:
        _log.debug("The call can't be read.", exc_info=True)
        return None


def _sagemaker_roles(parameters: dict[str, Any]) -> Iterator[str]:
    jobs = [parameters.get("TrainingJobDefinition", {}), *parameters.get("TrainingJobDefinitions", [])]
    for role in (
        parameters.get("RoleArn"),
        parameters.get("ExecutionRoleArn"),
        *(job.get("RoleArn") for job in jobs),
    ):
        if role:
            yield role
