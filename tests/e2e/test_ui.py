"""Test Airflow's UI in a browser: the login, the steps of a DAG and its form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.laptop.airflow_api import AirflowApi
from include.laptop.credentials import ADMIN

DAG_ID = "sample.train_and_deploy"
DAG_PAGE = f"/dags/{DAG_ID}"

pytestmark = pytest.mark.browser


@pytest.fixture
def dag_page(page_of: Callable[..., Any], airflow: AirflowApi, eventually: Callable[..., Any]) -> Any:
    """Sign in as the administrator and open the page of the DAG."""
    eventually(lambda: airflow.is_parsed(DAG_ID), 300)
    page = page_of(ADMIN)
    page.goto(DAG_PAGE)
    return page


def test_a_stranger_sees_the_login_alone(page_of: Callable[..., Any]) -> None:
    page = page_of()
    page.goto(DAG_PAGE)
    page.wait_for_selector("input[name=password]")
    assert page.get_by_text("smoke_test").count() == 0


def test_the_administrator_sees_the_steps(dag_page: Any) -> None:
    dag_page.get_by_label("Show Graph").first.click()
    for step in ("preflight", "prepare", "learn", "deploy", "function", "smoke_test", "report", "rollback"):
        dag_page.get_by_text(step, exact=True).first.wait_for()


def test_the_form_asks_for_the_runs_parameters(dag_page: Any) -> None:
    dag_page.get_by_label("Trigger Dag").first.click()
    form = dag_page.get_by_role("dialog")
    for label in ("Data set", "Training instances", "Retrain"):
        form.get_by_text(label).first.wait_for()
