"""EC2's part of the server: moto answers its requests, about instances that run on machines."""

import json
import re

from werkzeug.wrappers import Request, Response

from include.local_aws.config import Config
from include.local_aws.ec2 import (
    deep_learning_images,
    moto_instances,
    moto_launches,
    moto_security_groups,
)
from include.local_aws.ec2.machines import Machines
from include.local_aws.gateway import json_response

_INTERFACE_AWS_SECONDS = 60.0
"""How long the network interface of an instance outlives it: in AWS seconds to minutes."""

_SHUTDOWN = re.compile(r"/_local_aws/instances/([^/]+)/shutdown")


class EC2:
    """EC2 of one account in one region."""

    def __init__(self, config: Config, machines: Machines) -> None:
        self._machines = machines
        deep_learning_images.publish(config.region)
        moto_launches.launch_as_aws_does()
        moto_instances.run_on_machines(config.region, machines)
        moto_security_groups.keep_while_in_use(config.lasts(_INTERFACE_AWS_SECONDS))

    def respond(self, request: Request) -> Response | None:
        """Answer the ``shutdown`` of an instance; leave all else to moto."""
        asked = _SHUTDOWN.fullmatch(request.path)
        if asked is None or request.method != "POST":
            return None
        members = json.loads(request.get_data())
        if members.get("cancel"):
            self._machines.cancel(asked[1])
        else:
            self._machines.schedule(asked[1], int(members["minutes"]))
        return json_response({})

    def close(self) -> None:
        """Boot nothing more; the processes are the server's to end."""
        self._machines.close()
