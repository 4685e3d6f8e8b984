"""The concurrent executions of an account, with functions in this process's moto."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.local_aws.awslambda.concurrency import Concurrency
from include.local_aws.awslambda.fleet import ProvisionedConcurrency, Target
from include.local_aws.config import Config
from include.local_aws.errors import AwsError

REGION = "us-east-1"
TARGET = Target(REGION, "function", "1")


class Fleet:
    """A fleet that provisions what the test says."""

    def __init__(self, **provisioned: int) -> None:
        self.counts = provisioned

    def total_provisioned(self, region: str) -> Counter[str]:
        return Counter(self.counts)

    def provisioned(self, region: str, name: str) -> dict[str, ProvisionedConcurrency]:
        return {"1": ProvisionedConcurrency(self.counts[name])} if name in self.counts else {}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of moto with the functions `function` and `other`, each with a version."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "x = 1\n")
    with mock_aws():
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")
        client = session.client("lambda")
        for name in ("function", "other"):
            client.create_function(
                FunctionName=name,
                Role="arn:aws:iam::123456789012:role/role",
                Runtime="python3.12",
                Handler="app.handler",
                Code={"ZipFile": content.getvalue()},
                Publish=True,
            )
        yield client


def concurrency(limit: int, **provisioned: int) -> Concurrency:
    return Concurrency(Config(state_dir=Path(), concurrent_executions=limit), Fleet(**provisioned))  # type: ignore[arg-type]


@pytest.mark.usefixtures("client")
def test_a_new_account_can_neither_reserve_nor_provision() -> None:
    account = concurrency(10)
    limits = account.settings(REGION)["AccountLimit"]
    assert (limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]) == (10, 10)
    with pytest.raises(AwsError, match=r"Specified Reserved.* below its minimum value of \[10\]"):
        account.check_reservation(REGION, "function", 1)
    with pytest.raises(AwsError, match=r"Specified Concurrent.* below its minimum value of \[10\]"):
        account.check_provisioning(TARGET, 1)


def test_what_others_have_is_not_free(client: Any) -> None:
    client.put_function_concurrency(FunctionName="other", ReservedConcurrentExecutions=700)
    account = concurrency(1000, third=150)
    assert account.settings(REGION)["AccountLimit"]["UnreservedConcurrentExecutions"] == 150
    account.check_reservation(REGION, "function", 50)
    with pytest.raises(AwsError, match=r"minimum value of \[100\]"):
        account.check_reservation(REGION, "function", 51)


def test_what_the_function_has_may_be_changed_into_a_reservation(client: Any) -> None:
    account = concurrency(110, function=10)
    account.check_reservation(REGION, "function", 10)
    client.put_function_concurrency(FunctionName="function", ReservedConcurrentExecutions=10)
    assert account.settings(REGION)["AccountLimit"]["UnreservedConcurrentExecutions"] == 100
    account.check_provisioning(TARGET, 10)
    with pytest.raises(AwsError, match="greater than the reservedConcurrentExecution"):
        account.check_provisioning(TARGET, 11)


@pytest.mark.usefixtures("client")
def test_the_account_counts_its_functions_and_their_code() -> None:
    usage = concurrency(1000).settings(REGION)["AccountUsage"]
    assert usage["FunctionCount"] == 2
    assert usage["TotalCodeSize"] > 0
