"""The operations of Systems Manager on managed nodes; moto answers the others."""

from functools import partial

from werkzeug.wrappers import Request, Response

from include.local_aws import service_models
from include.local_aws.config import Config
from include.local_aws.ec2 import Machines
from include.local_aws.operations import JsonOperations, target_operation
from include.local_aws.ssm.commands import Commands
from include.local_aws.ssm.managed_nodes import ManagedNodes

_TARGET = "AmazonSSM."


class SSM:
    """Run Command of one account in one region."""

    def __init__(self, config: Config, machines: Machines) -> None:
        nodes = ManagedNodes(config, machines)
        commands = Commands(config, nodes)
        self.operations = JsonOperations(
            _TARGET,
            {
                "DescribeInstanceInformation": nodes.describe,
                "SendCommand": commands.send,
                "CancelCommand": commands.cancel,
                "ListCommands": commands.list_commands,
                "ListCommandInvocations": commands.list_invocations,
                "GetCommandInvocation": commands.get_invocation,
            },
            partial(service_models.check_request, "ssm"),
        )

    @staticmethod
    def concerns(request: Request) -> bool:
        """Return whether a request is for Systems Manager."""
        return target_operation(request, _TARGET) != ""

    def respond(self, request: Request) -> Response | None:
        """Answer the requests about managed nodes and commands."""
        return self.operations.respond(request)

    def close(self) -> None:
        """Do nothing: the server stops the processes of commands."""
