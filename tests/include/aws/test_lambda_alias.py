"""The alias of a function on local AWS; tests/include/pipeline/test_function_alias.py has provisioned concurrency."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from include.aws.lambda_alias import LambdaAlias


@pytest.fixture
def alias(local_aws: Any) -> Iterator[LambdaAlias]:
    """An alias, which does not exist yet, of a function with the versions 1 and 2."""
    client, name = local_aws.client("lambda"), f"f{uuid.uuid4().hex[:8]}"
    role = local_aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return None\n")
    settings = {"Runtime": "python3.12", "Role": role, "Handler": "app.handler"}
    client.create_function(FunctionName=name, Code={"ZipFile": code.getvalue()}, **settings)
    for waiter, memory in (("function_active_v2", 192), ("function_updated_v2", 256)):
        client.get_waiter(waiter).wait(FunctionName=name)
        client.update_function_configuration(FunctionName=name, MemorySize=memory)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        client.publish_version(FunctionName=name)
    yield LambdaAlias(name, "live", client)
    client.delete_function(FunctionName=name)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_move_removes_the_weights_of_an_earlier_release(alias: LambdaAlias, version: str) -> None:
    assert alias.create("1", {"2": 0.5})["FunctionVersion"] == "1"
    assert alias.weights() == {"2": 0.5}
    alias.move(version)
    assert (alias.describe()["FunctionVersion"], alias.weights()) == (version, {})


def test_a_move_can_split_the_calls(alias: LambdaAlias) -> None:
    alias.create("1")
    alias.move("1", {"2": 0.25})
    assert (alias.describe()["FunctionVersion"], alias.weights()) == ("1", {"2": 0.25})
    alias.clear_weights()
    assert (alias.describe()["FunctionVersion"], alias.weights()) == ("1", {})


def test_neither_alias_nor_version_has_provisioned_concurrency_at_first(alias: LambdaAlias) -> None:
    version = LambdaAlias(alias.function, "1", alias.client)
    assert version.weights() == {}
    assert version.provisioned() is None
    assert alias.provisioned() is None  # it does not exist
    assert LambdaAlias("nobody", "live", alias.client).provisioned() is None
