"""The operations of Systems Manager that are about managed nodes; moto answers the others."""

import json
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws import service_models
from include.local_aws.config import Config
from include.local_aws.ec2 import Machines
from include.local_aws.errors import AwsError
from include.local_aws.gateway import json_response
from include.local_aws.ssm.commands import Commands
from include.local_aws.ssm.managed_nodes import ManagedNodes

_TARGET = "AmazonSSM."


class SSM:
    """Run Command of one account in one region."""

    def __init__(self, config: Config, machines: Machines) -> None:
        nodes = ManagedNodes(config, machines)
        commands = Commands(config, nodes)
        self._operations = {
            "DescribeInstanceInformation": nodes.describe,
            "SendCommand": commands.send,
            "CancelCommand": commands.cancel,
            "ListCommands": commands.list_commands,
            "ListCommandInvocations": commands.list_invocations,
            "GetCommandInvocation": commands.get_invocation,
        }

    def respond(self, request: Request) -> Response | None:
        """Answer the requests about managed nodes and commands."""
        target = request.headers.get("X-Amz-Target", "")
        name = target.removeprefix(_TARGET)
        if not target.startswith(_TARGET) or name not in self._operations:
            return None
        members = _members(request)
        service_models.check_request("ssm", name, members)
        return json_response(self._operations[name](members))

    def close(self) -> None:
        """Do nothing: the processes of commands are the server's to end."""


def _members(request: Request) -> dict[str, Any]:
    try:
        members: dict[str, Any] = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The request's body is not JSON: {error}.") from error
    return members
