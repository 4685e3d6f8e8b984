"""A command of which nothing was heard until it expired."""

import time
from pathlib import Path

import pytest

from include.local_aws.config import Config
from include.local_aws.ec2.machine import Machine
from include.local_aws.processes import ChildProcesses
from include.local_aws.ssm.invocation import Invocation, Script


@pytest.mark.parametrize(("seconds", "status"), [(-1.0, "TimedOut"), (60.0, "InProgress")])
def test_a_command_of_a_machine_that_is_gone_ends_when_it_expires(
    tmp_path: Path, eventually: object, seconds: float, status: str
) -> None:
    children = ChildProcesses()
    config = Config(state_dir=tmp_path)
    machine = Machine(config, children, "i-0123456789abcdef0")
    invocation = Invocation(
        config, "id", machine, Script(["true"], "", 60), log_group=None, expires=time.time() + seconds
    )
    invocation.start()
    eventually(lambda: invocation.status == status)
    details = {"TimedOut": "DeliveryTimedOut", "InProgress": "InProgress"}[status]
    assert (invocation.details, invocation.is_open) == (details, status == "InProgress")
    assert invocation.described()["ExecutionEndDateTime"] == ""
    children.stop_all()
