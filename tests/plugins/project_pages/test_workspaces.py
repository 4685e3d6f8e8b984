"""Airflow opens a workspace on local AWS for users who may trigger its DAG."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from project_pages import workspaces
from starlette.testclient import TestClient

from include.pipeline.target import TARGET_VARIABLE

ClientOf = Callable[..., TestClient]
URL = "/projects/dog_breeds/workspace"


class Notebooks:
    """SageMaker, with one notebook instance."""

    def __init__(self, status: str | None, host: str = "127.0.0.1") -> None:
        self.status = status
        self.meta = type("Meta", (), {"endpoint_url": f"http://{host}:5566"})

    def describe_notebook_instance(self, NotebookInstanceName: str) -> dict[str, str]:
        assert NotebookInstanceName == "dog-breeds-workspace"
        if self.status is None:
            message = "RecordNotFound"
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": message}}, "DescribeNotebookInstance"
            )
        return {"NotebookInstanceStatus": self.status}

    def create_presigned_notebook_instance_url(self, NotebookInstanceName: str) -> dict[str, str]:
        return {"AuthorizedUrl": "http://127.0.0.1:5000/lab?token=secret"}


@pytest.fixture
def notebooks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*arguments: Any) -> None:
        monkeypatch.setattr(workspaces, "client", lambda service: Notebooks(*arguments))

    monkeypatch.setenv(TARGET_VARIABLE, "local")
    return use


def test_redirect_to_jupyterlab_is_not_cached(client_of: ClientOf, notebooks: Callable[..., None]) -> None:
    notebooks("InService")
    answer = client_of("admin").get(URL)
    assert answer.headers["location"] == "http://127.0.0.1:5000/lab?token=secret"
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == (
        "no-store",
        "no-referrer",
    )


@pytest.mark.parametrize(
    ("found", "status", "sentence"),
    [
        ((None,), 404, "Trigger dog_breeds.workspace with the action create"),
        (("Stopped",), 409, "The workspace is Stopped. Trigger dog_breeds.workspace with the action start"),
        (("InService", "local-aws"), 409, "loopback address of local-aws"),
    ],
)
def test_error_explains_why_a_workspace_can_not_be_opened(
    client_of: ClientOf, notebooks: Callable[..., None], found: Any, status: int, sentence: str
) -> None:
    notebooks(*found)
    answer = client_of("admin").get(URL)
    assert answer.status_code == status
    assert sentence in answer.text


def test_unknown_project_has_no_workspace(client_of: ClientOf, notebooks: Callable[..., None]) -> None:
    notebooks("InService")
    assert client_of("admin").get("/projects/unknown/workspace").status_code == 404


def test_workspace_is_not_opened_on_aws(
    client_of: ClientOf, notebooks: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebooks("InService")
    monkeypatch.setenv(TARGET_VARIABLE, "aws")
    answer = client_of("admin").get(URL)
    assert (answer.status_code, "open a workspace from the console" in answer.text) == (404, True)
