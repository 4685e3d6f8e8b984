"""Airflow serves only the pages of projects, to users who may read the DAG."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
)
from project_pages import app, storage
from starlette.testclient import TestClient

from include.pipeline.infrastructure import InfrastructureError
from include.pipeline.target import TARGET_VARIABLE
from tests.plugins.project_pages.conftest import token

ClientOf = Callable[..., TestClient]
Put = Callable[..., None]

PAGE = "birds/runs/manual/report.html"
URL = "/projects/birds/reports/runs/manual/report.html"


@pytest.fixture
def page(put: Put) -> bytes:
    """Write a page with a wrong content type."""
    body = "<!doctype html><title>Birds</title><img src='pictures/größe.png'>".encode()
    put(PAGE, body)
    return body


@pytest.fixture
def s3_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Let S3 fail with an error."""

    def fail(error: Exception) -> None:
        class Failing:
            def get_object(self, **_: str) -> None:
                raise error

        storage.stack_bucket.cache_clear()
        monkeypatch.setattr(storage, "client", lambda service: Failing())
        monkeypatch.setattr(storage, "read_infrastructure", lambda _: type("Stack", (), {"bucket": "bucket"}))

    return fail


class TestServedPages:
    @pytest.mark.parametrize("user", ["admin", "viewer"])
    def test_user_with_dag_read_access_sees_the_page(
        self, client_of: ClientOf, page: bytes, user: str
    ) -> None:
        answer = client_of(user).get(URL)
        assert (answer.status_code, answer.content) == (200, page)

    @pytest.mark.parametrize(
        ("path", "content_type"),
        [
            ("data/0123456789ab/report.html", "text/html; charset=utf-8"),
            ("evaluate/job/pictures/0.png", "image/png"),
            ("runs/manual/pictures/0.jpg", "image/jpeg"),
            ("runs/manual/pictures/0.svg", "image/svg+xml"),
        ],
    )
    def test_content_type_follows_the_file_name(
        self, client_of: ClientOf, put: Put, path: str, content_type: str
    ) -> None:
        put(f"birds/{path}", b"content", "text/javascript")
        answer = client_of("viewer").get(f"/projects/birds/reports/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)

    def test_security_headers_of_a_page(self, client_of: ClientOf, page: bytes) -> None:
        headers = client_of("viewer").get(URL).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; img-src 'self' data:;")
        assert "script" not in policy
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert headers["cache-control"] == "private, no-cache"

    def test_names_may_contain_letters_of_any_language(self, client_of: ClientOf, put: Put) -> None:
        put("birds/runs/vögel/report.html", b"Amsel")
        assert client_of("viewer").get("/projects/birds/reports/runs/v%C3%B6gel/report.html").text == "Amsel"

    def test_unchanged_page_is_not_sent_again(self, client_of: ClientOf, page: bytes) -> None:
        browser = client_of("viewer")
        etag = browser.get(URL).headers["etag"]
        for known in (etag, f'"other", W/{etag}'):
            answer = browser.get(URL, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert browser.get(URL, headers={"If-None-Match": '"other"'}).content == page

    def test_bearer_token_is_accepted(self, client_of: ClientOf, page: bytes) -> None:
        program = client_of(None, Accept="*/*", Authorization=f"Bearer {token('viewer')}")
        assert program.get(URL).content == page

    def test_large_page_is_complete(self, client_of: ClientOf, put: Put) -> None:
        body = bytes(range(256)) * 4096
        put(PAGE, body)
        assert client_of("viewer").get(URL).content == body

    def test_page_that_is_too_large_is_rejected_with_a_remedy(
        self, client_of: ClientOf, page: bytes, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "MAX_BYTES", len(page) - 1)
        answer = client_of("viewer").get(URL)
        assert answer.status_code == 502
        assert f"aws s3 cp s3://{bucket}/{PAGE}" in answer.text


class TestAccessControl:
    @pytest.mark.parametrize("path", [URL, "/projects/birds/workspace"])
    def test_user_without_login_is_redirected_to_the_login_and_back(
        self, client_of: ClientOf, path: str
    ) -> None:
        browser = client_of(None)
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
        login = browser.get(answer.headers["location"])
        assert login.status_code == 307
        assert login.headers["location"].startswith("/auth/login?next=%2Fprojects%2Fbirds%2F")

    @pytest.mark.parametrize("accept", ["image/avif,image/*,*/*;q=0.8", "application/json"])
    def test_image_or_program_without_login_gets_401(self, client_of: ClientOf, accept: str) -> None:
        answer = client_of(None, Accept=accept).get(URL)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})

    @pytest.mark.parametrize("secret", ["expired", "of another installation"])
    def test_expired_login_is_rejected(self, client_of: ClientOf, secret: str) -> None:
        browser = client_of(None)
        old = token("viewer", -60)
        browser.cookies.set("_token", old if secret == "expired" else f"{old[:-8]}AAAAAAAA")
        answer = browser.get(URL)
        assert answer.status_code == 307
        assert answer.headers["location"].startswith("/api/v2/auth/login?next=")

    def test_airflow_may_have_a_base_path(self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(app, "AIRFLOW", "/airflow")
        assert client_of(None).get(URL).headers["location"].startswith("/airflow/api/v2/auth/login?")

    def test_user_without_permission_gets_403_with_the_missing_permission(
        self, client_of: ClientOf, page: bytes
    ) -> None:
        answer = client_of("nobody").get(URL)
        assert answer.status_code == 403
        assert "may not read the DAG birds.train_and_deploy" in answer.text
        assert "Birds" not in answer.text

    def test_permission_is_per_project(
        self, client_of: ClientOf, put: Put, page: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def only_cats(self: Any, *, method: str, user: Any, details: Any, **_: Any) -> bool:
            return (method, details.id) == ("GET", "cats.train_and_deploy")

        monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", only_cats)
        put("cats/runs/manual/report.html", b"Cats")
        browser = client_of("viewer")
        assert browser.get("/projects/cats/reports/runs/manual/report.html").text == "Cats"
        assert browser.get(URL).status_code == 403
        assert browser.get("/projects/cats/reports/runs/..%2F..%2Fbirds/report.html").status_code == 404
        assert browser.get("/projects/cats/reports/../birds/runs/manual/report.html").status_code != 200

    def test_viewer_can_not_open_a_workspace(self, client_of: ClientOf) -> None:
        answer = client_of("viewer").get("/projects/birds/workspace")
        assert answer.status_code == 403
        assert "may not trigger the DAG birds.workspace" in answer.text

    @pytest.mark.parametrize("path", ["docs", "openapi.json", "redoc", "birds", "birds/reports"])
    def test_other_paths_do_not_exist(self, client_of: ClientOf, path: str) -> None:
        assert client_of(None).get(f"/projects/{path}").status_code == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_only_get_is_allowed(self, client_of: ClientOf, method: str) -> None:
        assert client_of("admin").request(method, URL).status_code == 405


class TestMissingPages:
    @pytest.mark.parametrize(
        "key",
        [
            "birds/training/job/output/model.tar.gz",
            "birds/data/0123456789ab/train/robin/1.jpg",
            "birds/data/0123456789ab/manifest.json",
            "birds/runs/manual/summary.json",
            "birds/captured/AllTraffic/answers.jsonl",
            "birds/report.html",
        ],
    )
    def test_existing_object_that_is_no_page_is_not_served(
        self, client_of: ClientOf, put: Put, key: str
    ) -> None:
        put(key, b"secret")
        answer = client_of("admin").get(f"/projects/birds/reports/{key.removeprefix('birds/')}")
        assert answer.status_code == 404
        assert "not the URL of a report" in answer.text

    @pytest.mark.parametrize(
        "path",
        [
            "birds/reports/runs/%2e%2e/report.html",
            "birds/reports/runs/manual/pictures/..%2f..%2f..%2fcats/1.png",
            "birds/reports/runs%2Fmanual%2F..%2Freport.html",
            "birds/reports/runs/manual/report.html%00.png",
            "birds/reports//runs/manual/report.html",
            "Birds/reports/runs/manual/report.html",
            "birds%2Fruns/reports/runs/manual/report.html",
            "..%2Fbirds/reports/runs/manual/report.html",
        ],
    )
    def test_path_can_not_leave_the_project(
        self, client_of: ClientOf, put: Put, page: bytes, path: str
    ) -> None:
        put("cats/1.png", b"secret")
        assert client_of("admin").get(f"/projects/{path}").status_code == 404

    def test_other_buckets_are_not_served(
        self, client_of: ClientOf, put: Put, local: Any, bucket: str
    ) -> None:
        local.client("s3").create_bucket(Bucket="other")
        put("birds/runs/elsewhere/report.html", b"secret", to="other")
        browser = client_of("admin")
        assert browser.get("/projects/birds/reports/runs/elsewhere/report.html").status_code == 404
        assert browser.get("/projects/other/birds/reports/runs/elsewhere/report.html").status_code == 404

    def test_deleted_report_shows_a_message_with_a_remedy(self, client_of: ClientOf, bucket: str) -> None:
        answer = client_of("viewer").get("/projects/birds/reports/runs/deleted/report.html")
        assert answer.status_code == 404
        assert "This report no longer exists." in answer.text
        assert "Run birds.train_and_deploy again" in answer.text
        assert 'href="/dags/birds.train_and_deploy"' in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")

    def test_names_in_messages_are_escaped(self, client_of: ClientOf) -> None:
        answer = client_of("admin").get("/projects/<b>x/reports/runs/manual/report.html")
        assert "<b>" not in answer.text

    def test_missing_stack_is_reported(self, client_of: ClientOf, local: Any, put: Put) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IMAGE_CLASSIFIER_STACK", "another")
            answer = client_of("viewer").get(URL)
        assert answer.status_code == 503
        assert "stack &#39;another&#39; does not exist" in answer.text


def refusal(code: str, status: int = 403) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "GetObject")


class TestErrorsOfAws:
    @pytest.mark.parametrize(
        ("error", "status", "sentence"),
        [
            (NoCredentialsError(), 503, "has no AWS credentials. Give the API server"),
            (refusal("ExpiredToken"), 503, "does not accept the credentials"),
            (refusal("AccessDenied"), 502, "Its role needs s3:GetObject"),
            (EndpointConnectionError(endpoint_url="https://s3"), 503, "reach AWS"),
            (ConnectTimeoutError(endpoint_url="https://s3"), 503, "reach AWS"),
            (refusal("SlowDown", 503), 502, "Try again in a minute"),
            (InfrastructureError("Stack 'x' lacks outputs."), 503, "lacks outputs"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value)[:12],
    )
    def test_error_is_one_message_without_a_stack_trace(
        self,
        client_of: ClientOf,
        s3_fails: Callable[[Exception], None],
        error: Exception,
        status: int,
        sentence: str,
    ) -> None:
        s3_fails(error)
        answer = client_of("viewer").get(URL)
        assert answer.status_code == status
        assert sentence in answer.text
        assert "Traceback" not in answer.text

    def test_message_names_local_aws_on_a_laptop(
        self,
        client_of: ClientOf,
        s3_fails: Callable[[Exception], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(TARGET_VARIABLE, "local")
        s3_fails(EndpointConnectionError(endpoint_url="http://127.0.0.1:5566"))
        answer = client_of("viewer").get(URL)
        assert (answer.status_code, "Run `make up`" in answer.text) == (503, True)

    def test_next_request_after_an_error_uses_a_new_client(
        self,
        client_of: ClientOf,
        page: bytes,
        s3_fails: Callable[[Exception], None],
    ) -> None:
        browser = client_of("viewer")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "client", lambda service: (_ for _ in ()).throw(NoCredentialsError()))
            assert browser.get(URL).status_code == 503
        assert browser.get(URL).content == page
