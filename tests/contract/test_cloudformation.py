"""What CloudFormation answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


@pytest.fixture
def cloudformation(client: Callable[[str], Any]) -> Any:
    return client("cloudformation")


@pytest.mark.row("CF1")
def test_a_missing_stack_is_a_validation_error(cloudformation: Any, unique: str, refused: Any) -> None:
    with refused("ValidationError", f"Stack with id {unique} does not exist"):
        cloudformation.describe_stacks(StackName=unique)


@pytest.mark.row("CF3")
@pytest.mark.makes("CloudFormation stacks with an SNS topic")
def test_a_deleted_stack_is_missing_by_name_and_described_by_its_arn(
    cloudformation: Any, unique: str, refused: Any
) -> None:
    arn = cloudformation.create_stack(StackName=unique, TemplateBody=TEMPLATE)["StackId"]
    cloudformation.get_waiter("stack_create_complete").wait(StackName=unique, WaiterConfig={"Delay": 1})
    cloudformation.delete_stack(StackName=unique)
    while state(cloudformation, arn) != "DELETE_COMPLETE":
        time.sleep(1)
    with refused("ValidationError", f"Stack with id {unique} does not exist"):
        cloudformation.describe_stacks(StackName=unique)


def state(cloudformation: Any, arn: str) -> str:
    return cloudformation.describe_stacks(StackName=arn)["Stacks"][0]["StackStatus"]
