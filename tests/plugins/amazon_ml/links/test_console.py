"""Links to the AWS console are stored only on AWS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.amazon.aws.links.ec2 import EC2InstanceLink
from amazon_ml.links.console import is_aws, persist_console_link
from amazon_ml.operators.ec2_training import EC2TrainingOperator


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.sagemaker.eu-west-1.amazonaws.com", True),
        ("https://api.sagemaker.cn-north-1.amazonaws.com.cn", True),
        ("http://127.0.0.1:5566", False),
        ("https://amazonaws.com.example.com", False),
    ],
)
def test_is_aws(url: str, expected: bool) -> None:
    assert is_aws(url) == expected


def persisted(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    for name, value in {"AWS_DEFAULT_REGION": "eu-west-1", **environment}.items():
        monkeypatch.setenv(name, value)
    pushed: dict[str, Any] = {}
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}
    operator = EC2TrainingOperator(task_id="train", config={})
    persist_console_link(EC2InstanceLink, context, operator, instance_id="i-1")
    return pushed


def test_link_is_stored_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = persisted(monkeypatch)
    assert EC2InstanceLink().format_link(**pushed[EC2InstanceLink.key]) == (
        "https://console.aws.amazon.com/ec2/home?region=eu-west-1#InstanceDetails:instanceId=i-1"
    )


def test_no_link_is_stored_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert persisted(monkeypatch, AWS_ENDPOINT_URL="http://127.0.0.1:5566") == {}
