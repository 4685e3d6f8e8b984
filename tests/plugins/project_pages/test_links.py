"""Links from tasks to the pages of their project in Airflow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task
from project_pages import links
from project_pages.links import (
    DataReportLink,
    EvaluationReportLink,
    RunReportLink,
    TuningReportLink,
    WorkspaceLink,
)

from include.pipeline.target import TARGET_VARIABLE

PAGE_LINKS = (DataReportLink, TuningReportLink, EvaluationReportLink, RunReportLink)


@pytest.fixture(autouse=True)
def airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the stored XCom that links read."""
    stored: dict[str, Any] = {}
    monkeypatch.setattr(links.XCom, "get_value", lambda key, ti_key: stored.get(key))
    return stored


def context(pushed: dict[str, Any]) -> Any:
    return {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}


@pytest.mark.parametrize("link", PAGE_LINKS)
def test_page_url_is_in_airflow(link: Any, pushed: dict[str, Any]) -> None:
    link.persist_page(context(pushed), "s3://bucket/birds/data/0123/report.html")
    assert link().get_link(None, ti_key=None) == (
        "https://airflow.example.com/projects/birds/reports/data/0123/report.html"
    )


@pytest.mark.parametrize("link", PAGE_LINKS)
def test_no_link_without_a_page(link: Any, pushed: dict[str, Any]) -> None:
    link.persist_page(context(pushed), None)
    assert pushed == {}
    assert link().get_link(None, ti_key=None) == ""


def test_no_link_to_objects_that_airflow_does_not_serve(pushed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"model\.tar\.gz' is not a page"):
        RunReportLink.persist_page(context(pushed), "s3://bucket/birds/training/job/model.tar.gz")


def test_each_link_has_a_unique_name_and_key() -> None:
    assert (
        len({link.key for link in PAGE_LINKS}) == len({link.name for link in PAGE_LINKS}) == len(PAGE_LINKS)
    )


def test_link_is_added_to_a_decorated_task_in_addition_to_others() -> None:
    with DAG("linked", schedule=None):

        @task
        def report() -> None: ...

        added = RunReportLink.add_to(DataReportLink.add_to(report()))
    assert [link.name for link in added.operator.operator_extra_links] == ["Data report", "Run report"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("local", "https://airflow.example.com/projects/birds/workspace", id="local AWS"),
        pytest.param("aws", "", id="AWS"),
    ],
)
def test_workspace_link_exists_only_on_local_aws(
    target: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARGET_VARIABLE, target)
    key = SimpleNamespace(dag_id="birds.workspace")
    assert WorkspaceLink().get_link(None, ti_key=key) == expected  # type: ignore[arg-type]
