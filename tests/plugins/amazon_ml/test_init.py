"""The lines of the AWS libraries in the log of a task."""

from __future__ import annotations

import logging

import amazon_ml  # noqa: F401
import boto3
import pytest


def test_client_adds_no_line_to_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    session = boto3.session.Session(region_name="us-east-1")
    session.client("s3")
    assert session.get_credentials() is not None
    assert caplog.messages == []


@pytest.mark.parametrize(
    "name", ["aiobotocore.credentials", "botocore.configprovider", "botocore.credentials"]
)
def test_warnings_are_still_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger(name).warning("Refreshing temporary credentials failed")
    assert caplog.messages == ["Refreshing temporary credentials failed"]
