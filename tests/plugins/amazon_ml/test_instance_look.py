"""What AWS's answers about an instance and its command mean."""

from __future__ import annotations

from typing import Any

import pytest
from amazon_ml.instance_look import Look, look


def seen(command_id: str | None, **answers: dict[str, Any]) -> tuple[Look, list[str]]:
    """What a look has shown, and the operations that it needed, when AWS answers like this."""
    calls, asked = look("i-1", command_id), []
    try:
        _, operation, _ = next(calls)
        while True:
            asked.append(operation)
            _, operation, _ = calls.send(answers[operation])
    except StopIteration as end:
        return end.value, asked


def instance(state: str, **more: Any) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [{"State": {"Name": state}, **more}]}]}


def command(status: str) -> dict[str, Any]:
    return {"CommandInvocations": [{"Status": status}]}


NOBODY: dict[str, Any] = {"Reservations": []}
SPOT = {"StateReason": {"Message": "Server.SpotInstanceTermination: Spot instance termination"}}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param({"describe_instances": NOBODY}, Look("waiting", "launched"), id="not listed yet"),
        pytest.param(
            {"describe_instances": instance("pending")},
            Look("waiting", "pending, not ready for commands yet"),
            id="starting",
        ),
        pytest.param(
            {
                "describe_instances": instance("running"),
                "describe_instance_information": {"InstanceInformationList": []},
            },
            Look("waiting", "running, not ready for commands yet"),
            id="booting",
        ),
        pytest.param(
            {
                "describe_instances": instance("running"),
                "describe_instance_information": {"InstanceInformationList": [{"PingStatus": "Online"}]},
            },
            Look("ready", "ready for commands"),
            id="ready",
        ),
        pytest.param(
            {"describe_instances": instance("shutting-down", StateTransitionReason="User initiated")},
            Look("lost", "shutting-down (User initiated)"),
            id="ended by somebody",
        ),
    ],
)
def test_an_instance_is_waited_for_until_it_takes_commands(answers: dict[str, Any], expected: Look) -> None:
    assert seen(None, **answers)[0] == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(
            {
                "list_command_invocations": {"CommandInvocations": []},
                "describe_instances": instance("running"),
            },
            Look("waiting", "running, not ready for commands yet"),
            id="not delivered",
        ),
        pytest.param(
            {"list_command_invocations": command("InProgress"), "describe_instances": instance("running")},
            Look("waiting", "running, command InProgress"),
            id="running",
        ),
        pytest.param(
            {"list_command_invocations": command("Success")}, Look("ended", "command Success"), id="done"
        ),
        pytest.param(
            {"list_command_invocations": command("TimedOut")},
            Look("ended", "command TimedOut"),
            id="too long",
        ),
        pytest.param(
            {
                "list_command_invocations": command("InProgress"),
                "describe_instances": instance("terminated", **SPOT),
            },
            Look("lost", "terminated (Server.SpotInstanceTermination: Spot instance termination)"),
            id="spot interruption",
        ),
        pytest.param(
            {"list_command_invocations": command("InProgress"), "describe_instances": NOBODY},
            Look("lost", "AWS no longer knows it"),
            id="gone for long",
        ),
    ],
)
def test_a_command_is_waited_for_until_it_has_ended_or_its_instance_has(
    answers: dict[str, Any], expected: Look
) -> None:
    assert seen("c-1", **answers)[0] == expected


def test_a_command_that_has_ended_is_one_call() -> None:
    assert seen("c-1", list_command_invocations=command("Failed"))[1] == ["list_command_invocations"]
