"""Airflow's API server in this process, with the plugins of the repository, and local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.api_fastapi import app as airflow_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.utils.db import initdb
from project_pages import storage
from starlette.testclient import TestClient

from include.laptop.infrastructure import deploy
from include.pipeline.infrastructure import read_infrastructure
from include.pipeline.target import TARGET_VARIABLE

HTML = {"Accept": "text/html,application/xhtml+xml"}
ROLES = {"admin": "admin", "viewer": "viewer", "nobody": None}
"""The role of each user. A user without a role has no permissions."""


@pytest.fixture(scope="module")
def api_server() -> Iterator[Any]:
    """Return Airflow's own application."""
    initdb()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", uuid.uuid4().hex * 2)
        airflow_app.purge_cached_app()
        yield airflow_app.create_app("core")
        airflow_app.purge_cached_app()


@pytest.fixture
def client_of(api_server: Any) -> Callable[..., TestClient]:
    """Return a browser with a signed-in user, or without one."""

    def client(user: str | None, **headers: str) -> TestClient:
        browser = TestClient(api_server, "http://airflow.example.com", follow_redirects=False)
        browser.headers.update({**HTML, **headers})
        if user:
            browser.cookies.set("_token", token(user))
        return browser

    return client


def token(user: str, seconds: int = 600) -> str:
    signed_in = SimpleAuthManagerUser(username=user, role=ROLES[user])
    return airflow_app.get_auth_manager().generate_jwt(signed_in, expiration_time_in_seconds=seconds)


@pytest.fixture
def local(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let Airflow use local AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv(TARGET_VARIABLE, "local")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    storage.stack_bucket.cache_clear()
    yield local_aws
    storage.stack_bucket.cache_clear()


@pytest.fixture
def bucket(local: Any) -> str:
    """Return the bucket of the stack."""
    deploy(local.url)
    return read_infrastructure(local.client("cloudformation")).bucket


@pytest.fixture
def put(local: Any, bucket: str) -> Callable[..., None]:
    """Write an object to the bucket of the stack, or to another bucket."""

    def put(key: str, body: bytes, content_type: str = "binary/octet-stream", to: str = bucket) -> None:
        local.client("s3").put_object(Bucket=to, Key=key, Body=body, ContentType=content_type)

    return put
