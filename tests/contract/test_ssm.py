"""What Systems Manager answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

INSTANCE = "i-00000000000000000"
COMMAND = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def ssm(client: Callable[[str], Any]) -> Any:
    return client("ssm")


@pytest.mark.row("SS1")
def test_a_command_to_an_instance_that_is_not_managed_is_refused(ssm: Any, refused: Any) -> None:
    with refused("InvalidInstanceId"):
        ssm.send_command(
            InstanceIds=[INSTANCE], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
        )


@pytest.mark.row("SS2")
def test_an_invocation_that_is_not_there_is_an_error_of_its_own(ssm: Any, refused: Any) -> None:
    with refused("InvocationDoesNotExist"):
        ssm.get_command_invocation(CommandId=COMMAND, InstanceId=INSTANCE)


@pytest.mark.row("SS4")
def test_the_commands_of_an_instance_that_is_not_managed_are_refused_or_none(ssm: Any) -> None:
    """Which of the two AWS does, is not known."""
    with suppress(ssm.exceptions.InvalidInstanceId):
        assert ssm.list_commands(InstanceId=INSTANCE)["Commands"] == []


@pytest.mark.row("SS5")
def test_an_instance_that_is_not_managed_is_not_described(ssm: Any) -> None:
    filters = [{"Key": "InstanceIds", "Values": [INSTANCE]}]
    assert ssm.describe_instance_information(Filters=filters)["InstanceInformationList"] == []


@pytest.mark.row("SS6")
def test_an_unknown_command_is_refused(ssm: Any, refused: Any) -> None:
    with refused("InvalidCommandId"):
        ssm.cancel_command(CommandId=COMMAND)


@pytest.mark.row("SS7")
def test_an_unknown_parameter_is_not_found(ssm: Any, unique: str, refused: Any) -> None:
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=f"/{unique}")
