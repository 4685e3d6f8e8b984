"""Test Airflow's UI in a browser: the login, the steps of a DAG and its form."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.laptop.airflow_api import AirflowApi
from include.laptop.credentials import ADMIN, passwords
from include.laptop.stack import Stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DAG_ID = "sample.train_and_deploy"
DAG_PAGE = f"/dags/{DAG_ID}"
SWITCHES = [
    "--no-sandbox",  # the tests may run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, whole_stack: Stack) -> Iterator[Any]:
    """Open a page of a browser in which nobody is signed in."""
    page = browser.new_page(viewport={"width": 1500, "height": 900}, base_url=whole_stack.places.airflow_url)
    page.set_default_timeout(180_000)
    yield page
    page.close()


@pytest.fixture
def dag_page(page: Any, whole_stack: Stack, airflow: AirflowApi, eventually: Callable[..., Any]) -> Any:
    """Sign in as the administrator and open the page of the DAG."""
    eventually(lambda: airflow.is_parsed(DAG_ID), 300)
    page.goto(DAG_PAGE)
    page.fill("input[name=username]", ADMIN)
    page.fill("input[name=password]", passwords(whole_stack.places.passwords_file)[ADMIN])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{DAG_PAGE}")
    return page


def test_a_stranger_sees_the_login_alone(page: Any) -> None:
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
