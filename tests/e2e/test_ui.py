"""Test Airflow's UI in a browser: the login, the steps of a DAG and its form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from include.laptop.airflow_api import RUN_ENDED, AirflowApi, AirflowApiError
from include.laptop.credentials import ADMIN

DAG_ID = "sample.train_and_deploy"
DAG_PAGE = f"/dags/{DAG_ID}"
FIRST = {
    "train_and_deploy": "preflight",
    "rollback": "preflight",
    "workspace": "choose",
    "teardown": "find",
}
"""By kind of DAG: the task that begins a run."""
KINDS = list(FIRST)
PageOf = Callable[..., Any]

pytestmark = pytest.mark.browser


@pytest.fixture
def dag_page(page_of: PageOf, airflow: AirflowApi, eventually: Callable[..., Any]) -> Any:
    """Sign in as the administrator and open the page of the DAG."""
    eventually(lambda: airflow.is_parsed(DAG_ID), 300)
    page = page_of(ADMIN)
    page.goto(DAG_PAGE)
    return page


def test_a_stranger_sees_the_login_alone(page_of: PageOf) -> None:
    page = page_of()
    page.goto(DAG_PAGE)
    page.wait_for_selector("input[name=password]")
    assert page.get_by_text("smoke_test").count() == 0


def test_the_administrator_sees_the_groups_of_steps_closed_and_opens_them(dag_page: Any) -> None:
    dag_page.get_by_label("Show Graph").first.click()
    graph = dag_page.get_by_test_id("rf__wrapper")
    for node in ("preflight", "Prepare", "Train and evaluate", "Review", "smoke_test", "report", "rollback"):
        graph.get_by_text(node, exact=True).first.wait_for()
    assert graph.get_by_text("gate", exact=True).count() == 0
    dag_page.get_by_label("Expand all task groups").first.click()
    graph.get_by_text("gate", exact=True).first.wait_for()


def test_the_list_tells_the_main_dag_from_the_destructive_one(
    page_of: PageOf, airflow: AirflowApi, eventually: Callable[..., Any]
) -> None:
    eventually(lambda: all(airflow.is_parsed(f"sample.{kind}") for kind in KINDS), 300)
    page = page_of(ADMIN)
    page.goto("/dags?tags=main")
    page.get_by_text("sample: deploy a new model").first.wait_for()
    assert page.get_by_text("sample: tear down").count() == 0
    page.goto("/dags?tags=destructive")
    page.get_by_text("sample: tear down").first.wait_for()
    assert page.get_by_text("sample: deploy a new model").count() == 0


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Return the URLs of the pages that were opened, to open none twice."""
    return set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_dag_has_documentation_with_links_that_lead_to_dags(
    page_of: PageOf, airflow: AirflowApi, eventually: Callable[..., Any], seen: set[str], kind: str
) -> None:
    eventually(lambda: airflow.is_parsed(f"sample.{kind}"), 300)
    page = page_of(ADMIN)
    page.goto(f"/dags/sample.{kind}")
    page.get_by_role("button", name="Dag Docs").click()
    document = page.get_by_role("dialog")
    document.get_by_role("heading", name="What it costs").wait_for()
    urls = set(document.locator("a").evaluate_all("all => all.map(a => a.href)"))
    for url in urls - seen:
        page.goto(url)
        page.get_by_label("Trigger Dag").first.wait_for()
    seen |= urls


SECTIONS = {
    "Data": ["Data set"],
    "Training": ["Train on", "Training instances", "Retrain"],
    "Release": ["Require approval", "Allow removed classes", "Allow an incomparable live model"],
    "Cost": ["Cost limit in US dollars"],
}


def test_the_form_asks_for_the_runs_parameters_section_by_section(dag_page: Any) -> None:
    form = open_form(dag_page)
    headings = form.get_by_test_id("config-form").locator("h3, button[aria-expanded]")
    headings.filter(has_text="Cost").wait_for()
    assert [text.strip() for text in headings.all_inner_texts()][: len(SECTIONS)] == list(SECTIONS)
    for section, labels in SECTIONS.items():
        heading = form.get_by_role("button", name=section, exact=True)
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        for label in labels:
            form.locator("label", has_text=label).first.wait_for()


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_can_be_sent_as_it_opens(
    page_of: PageOf, airflow: AirflowApi, eventually: Callable[..., Any], kind: str
) -> None:
    dag_id = f"sample.{kind}"
    eventually(lambda: airflow.is_parsed(dag_id), 300)
    airflow.unpause(dag_id)
    before = {run.run_id for run in every_run(airflow, dag_id)}
    page = page_of(ADMIN)
    page.goto(f"/dags/{dag_id}")
    open_form(page).get_by_test_id("trigger-dag-submit").click()

    def new_run() -> Any:
        return next((run for run in every_run(airflow, dag_id) if run.run_id not in before), None)

    run = eventually(new_run, 60)
    try:
        # Its first task refuses what it does not understand.
        first = FIRST[kind]
        eventually(lambda: task_of(airflow, run, first).state in ("success", "failed"))
        assert task_of(airflow, run, first).state == "success", airflow.log(
            dag_id, run.run_id, task_of(airflow, run, first)
        )
    finally:
        eventually(lambda: end(airflow, run), 60)


def test_a_verdict_is_the_first_line_of_a_log_and_stands_before_its_end(
    airflow: AirflowApi, eventually: Callable[..., Any]
) -> None:
    """Airflow shows what stands behind the end of a task in a group that is collapsed."""
    run_id = eventually(lambda: dry_run(airflow), 60)
    assert airflow.wait("sample.teardown", run_id, 300) == "success"
    tasks = {task.task_id: task for task in airflow.task_instances("sample.teardown", run_id)}
    lines = airflow.log("sample.teardown", run_id, tasks["find"])
    before = lines[: lines.index("::group::Post Execute")]
    own = before[len(before) - before[::-1].index("::endgroup::") :]
    assert re.match(r"Dry run, nothing is deleted: \d+ resources of sample exist", own[0]) or own == [
        "sample has no resources."
    ]
    assert any("infrastructure" in line for line in own[1:])


def open_form(page: Any) -> Any:
    """Open the form of the DAG whose page is open."""
    page.get_by_label("Trigger Dag").first.click()
    return page.get_by_role("dialog")


def dry_run(airflow: AirflowApi) -> str | None:
    """Start a teardown that only lists, and return its id; None while Airflow's database is locked."""
    try:
        return airflow.trigger("sample.teardown", {})
    except AirflowApiError:
        return None


def end(airflow: AirflowApi, run: Any) -> bool:
    """Mark a run failed, unless it has ended; False while Airflow's database is locked."""
    if airflow.run_state(run.dag_id, run.run_id) in RUN_ENDED:
        return True
    try:
        airflow.fail_run(run, "The test has seen that it began.")
    except AirflowApiError:
        return False
    return True


def every_run(airflow: AirflowApi, dag_id: str) -> list[Any]:
    return airflow.runs(dag_id, ["queued", "running", "success", "failed"])


def task_of(airflow: AirflowApi, run: Any, task_id: str) -> Any:
    return next(task for task in airflow.task_instances(run.dag_id, run.run_id) if task.task_id == task_id)
