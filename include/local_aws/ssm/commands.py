"""Run Command: sends scripts to instances, and lists, describes and cancels them."""

import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import page
from include.local_aws.ssm.invocation import PLUGIN, Invocation, Script
from include.local_aws.ssm.managed_nodes import PAGE_ERROR, ManagedNodes

DOCUMENT = "AWS-RunShellScript"
PAGE = 50

_DEFAULT_SECONDS = 3_600
_LONGEST_SECONDS = 172_800
_PARAMETERS = ("commands", "workingDirectory", "executionTimeout")
_UNSUPPORTED = (
    "Targets",
    "OutputS3BucketName",
    "OutputS3KeyPrefix",
    "OutputS3Region",
    "ServiceRoleArn",
    "NotificationConfig",
    "AlarmConfiguration",
)
_ENDINGS = ("Failed", "TimedOut", "Cancelled")

Members = dict[str, Any]


@dataclass(frozen=True)
class _Command:
    """A command: its request, its times (epoch seconds), and its invocations."""

    request: Members
    requested: float
    expires: float
    command_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    invocations: list[Invocation] = field(default_factory=list)


class Commands:
    """All commands of one region."""

    def __init__(self, config: Config, nodes: ManagedNodes) -> None:
        self._config = config
        self._nodes = nodes
        self._lock = threading.Lock()
        self._commands: dict[str, _Command] = {}

    def send(self, request: Members) -> Members:
        """Answer SendCommand."""
        _check_supported(request)
        script = _script(request.get("Parameters", {}))
        instance_ids = request.get("InstanceIds", [])
        if len(set(instance_ids)) != len(instance_ids):
            raise AwsError("DuplicateInstanceId", "You can't specify an instance ID in more than one place.")
        machines = [machine for each in instance_ids if (machine := self._nodes.online(each))]
        if not machines or len(machines) != len(instance_ids):
            raise AwsError(
                "InvalidInstanceId",
                f"Instances [[{', '.join(instance_ids)}]] not in a valid state for account {ACCOUNT_ID}",
            )
        logs = request.get("CloudWatchOutputConfig", {})
        log_group = logs.get("CloudWatchLogGroupName") or f"/aws/ssm/{DOCUMENT}"
        now = time.time()
        delivery = request.get("TimeoutSeconds", _DEFAULT_SECONDS)
        command = _Command(request, now, now + delivery + script.timeout_seconds)
        for machine in machines:
            command.invocations.append(
                Invocation(
                    self._config,
                    command.command_id,
                    machine,
                    script,
                    log_group=log_group if logs.get("CloudWatchOutputEnabled") else None,
                    expires=command.expires,
                )
            )
        with self._lock:
            self._commands[command.command_id] = command
        answer = _described(command)
        for invocation in command.invocations:
            invocation.start()
        return {"Command": answer}

    def cancel(self, request: Members) -> Members:
        """Answer CancelCommand."""
        for invocation in _on(self._get(request["CommandId"]), request.get("InstanceIds")):
            invocation.cancel()
        return {}

    def list_commands(self, request: Members) -> Members:
        """Answer ListCommands, the newest first.

        An instance that is not managed, or not yet, is refused: the model of AWS has an error for it. It is not known
        whether AWS returns this error or an empty list.
        """
        commands = self._found(request)
        if "InstanceId" in request and not commands and not self._nodes.knows(request["InstanceId"]):
            raise AwsError("InvalidInstanceId", "")
        found = [
            described
            for command in commands
            if _matches(described := _described(command), request.get("Filters", []))
        ]
        return page("Commands", found, request, PAGE, PAGE_ERROR)

    def list_invocations(self, request: Members) -> Members:
        """Answer ListCommandInvocations, the newest first."""
        instance_ids = [request["InstanceId"]] if "InstanceId" in request else None
        found = []
        for command in self._found(request):
            for invocation in _on(command, instance_ids):
                described = {
                    **_common(command),
                    "InstanceId": invocation.instance_id,
                    "InstanceName": "",
                    "RequestedDateTime": command.requested,
                    "Status": invocation.status,
                    "StatusDetails": invocation.details,
                    "TraceOutput": "",
                    "StandardOutputUrl": "",
                    "StandardErrorUrl": "",
                    "CommandPlugins": [invocation.plugin()] if request.get("Details") else [],
                }
                if _matches(described, request.get("Filters", [])):
                    found.append(described)
        return page("CommandInvocations", found, request, PAGE, PAGE_ERROR)

    def get_invocation(self, request: Members) -> Members:
        """Answer GetCommandInvocation."""
        command = self._commands.get(request["CommandId"])
        found = _on(command, [request["InstanceId"]]) if command is not None else []
        if command is None or not found:
            raise AwsError("InvocationDoesNotExist", "")
        if request.get("PluginName", PLUGIN) != PLUGIN:
            raise AwsError("InvalidPluginName", "")
        return {**_common(command), **found[0].described()}

    def _found(self, request: Members) -> list[_Command]:
        if "CommandId" in request:
            commands = [self._get(request["CommandId"])]
        else:
            with self._lock:
                commands = list(reversed(self._commands.values()))
        if "InstanceId" in request:
            commands = [command for command in commands if _on(command, [request["InstanceId"]])]
        return commands

    def _get(self, command_id: str) -> _Command:
        with self._lock:
            command = self._commands.get(command_id)
        if command is None:
            raise AwsError("InvalidCommandId", "")
        return command


def _check_supported(request: Members) -> None:
    if request["DocumentName"] != DOCUMENT:
        raise AwsError("InvalidDocument", f"Local AWS knows the document {DOCUMENT} only.")
    if request.get("DocumentVersion", "1") not in ("1", "$DEFAULT", "$LATEST"):
        raise AwsError("InvalidDocumentVersion", "The document version is not valid or does not exist.")
    for name in _UNSUPPORTED:
        if request.get(name):
            raise AwsError(
                "ValidationException",
                f"Local AWS sends a command to InstanceIds and its output to CloudWatch Logs; {name} is not supported.",
            )


def _script(parameters: dict[str, list[str]]) -> Script:
    unknown = sorted(set(parameters) - set(_PARAMETERS))
    if unknown:
        raise AwsError(
            "InvalidParameters", f"Parameters {unknown} are not defined in the document {DOCUMENT}."
        )
    if not parameters.get("commands"):
        raise AwsError("InvalidParameters", "The parameter commands is required.")
    timeout = (parameters.get("executionTimeout") or [str(_DEFAULT_SECONDS)])[0]
    if not timeout.isdecimal() or not 1 <= int(timeout) <= _LONGEST_SECONDS:
        raise AwsError(
            "InvalidParameters", f"The parameter executionTimeout must be 1 to {_LONGEST_SECONDS} seconds."
        )
    folder = (parameters.get("workingDirectory") or [""])[0]
    return Script(parameters["commands"], folder, int(timeout))


def _on(command: _Command, instance_ids: Sequence[str] | None) -> list[Invocation]:
    """Return the invocations of a command on some instances, or on all."""
    return [each for each in command.invocations if not instance_ids or each.instance_id in instance_ids]


def _common(command: _Command) -> Members:
    """Return the members that a command and its invocations have in common."""
    request = command.request
    logs = request.get("CloudWatchOutputConfig", {})
    return {
        "CommandId": command.command_id,
        "Comment": request.get("Comment", ""),
        "DocumentName": request["DocumentName"],
        "DocumentVersion": request.get("DocumentVersion", "$DEFAULT"),
        "CloudWatchOutputConfig": {
            "CloudWatchLogGroupName": logs.get("CloudWatchLogGroupName", ""),
            "CloudWatchOutputEnabled": logs.get("CloudWatchOutputEnabled", False),
        },
    }


def _described(command: _Command) -> Members:
    request, invocations = command.request, command.invocations
    status, details = _status(invocations)
    return {
        **_common(command),
        "ExpiresAfter": command.expires,
        "Parameters": request.get("Parameters", {}),
        "InstanceIds": request["InstanceIds"],
        "Targets": [],
        "RequestedDateTime": command.requested,
        "Status": status,
        "StatusDetails": details,
        "MaxConcurrency": request.get("MaxConcurrency", "50"),
        "MaxErrors": request.get("MaxErrors", "0"),
        "TargetCount": len(invocations),
        "CompletedCount": sum(not each.is_open for each in invocations),
        "ErrorCount": sum(each.details in ("Failed", "ExecutionTimedOut") for each in invocations),
        "DeliveryTimedOutCount": sum(each.details == "DeliveryTimedOut" for each in invocations),
        "TimeoutSeconds": request.get("TimeoutSeconds", _DEFAULT_SECONDS),
    }


def _status(invocations: Iterable[Invocation]) -> tuple[str, str]:
    """Return the status and details of a command: of an invocation that runs, or else of the worst result."""
    found = [(each.status, each.details) for each in invocations]
    for wanted in ("Cancelling", "InProgress", "Pending", *_ENDINGS):
        for status, details in found:
            if status == wanted:
                return status, details
    return "Success", "Success"


def _matches(described: Members, filters: list[dict[str, str]]) -> bool:
    for item in filters:
        key, value = item["key"], item["value"]
        if key in ("Status", "DocumentName"):
            if described[key] != value:
                return False
        elif key in ("InvokedAfter", "InvokedBefore"):
            is_after = described["RequestedDateTime"] > datetime.fromisoformat(value).timestamp()
            if is_after != (key == "InvokedAfter"):
                return False
        else:
            raise AwsError("InvalidFilterKey", "The specified key isn't valid.")
    return True
