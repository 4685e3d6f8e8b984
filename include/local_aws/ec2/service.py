"""EC2: moto answers the requests, and machines run the instances."""

import json
import re

from werkzeug.wrappers import Request, Response

from include.local_aws.config import Config
from include.local_aws.ec2 import deep_learning_images
from include.local_aws.ec2.machines import Machines
from include.local_aws.gateway import json_response

_SHUTDOWN = re.compile(r"/_local_aws/instances/([^/]+)/shutdown")


class EC2:
    """EC2 of one account in one region."""

    def __init__(self, config: Config, machines: Machines) -> None:
        self._machines = machines
        deep_learning_images.publish(config.region)

    def respond(self, request: Request) -> Response | None:
        """Answer the ``shutdown`` of an instance, and leave the rest to moto."""
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
        """Stop booting; the server ends the processes."""
        self._machines.close()
