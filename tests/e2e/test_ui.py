"""Test Airflow's UI in a browser: the login, the steps of a DAG and its form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from include.laptop.airflow_api import RUN_ENDED, AirflowApi, AirflowApiError
from include.laptop.credentials import ADMIN, passwords
from include.laptop.stack import Stack
from tests.e2e.conftest import sign_in

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

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Entry:
    """The page of a DAG, opened by a stranger who then signs in as the administrator.

    :param seen: what the stranger saw.
    :param url: where the administrator arrived.
    """

    page: Any
    seen: str
    url: str


@pytest.fixture(scope="module")
def entry(
    open_context: Callable[..., Any], airflow: AirflowApi, whole_stack: Stack, eventually: Callable[..., Any]
) -> Entry:
    """Load Airflow's UI. The tests then use its links, as a person does: to load it again takes ten times as long."""
    eventually(lambda: all(airflow.is_parsed(f"sample.{kind}") for kind in KINDS), 300)
    page = open_context().new_page()
    page.goto(DAG_PAGE)
    page.wait_for_selector("input[name=password]")
    seen = page.inner_text("body")
    sign_in(page, ADMIN, passwords(whole_stack.paths.passwords_file)[ADMIN])
    page.get_by_label("Trigger Dag").first.wait_for()
    return Entry(page, seen, page.url)


@pytest.fixture
def dag_list(entry: Entry) -> Any:
    """Show the list of all DAGs."""
    page = entry.page
    if page.get_by_role("dialog").count():  # a failed test has left it open
        page.goto("/dags")
    page.get_by_role("link", name="Dags", exact=True).first.click()
    page.wait_for_url("**/dags")
    dag_link(page, "train_and_deploy").wait_for()
    return page


@pytest.fixture
def dag_page(dag_list: Any, request: pytest.FixtureRequest) -> Any:
    """Show the page of the DAG of a kind, the parameter."""
    kind = getattr(request, "param", "train_and_deploy")
    dag_link(dag_list, kind).click()
    dag_list.wait_for_url(f"**/dags/sample.{kind}")
    # The list has a button for each DAG, which the tests must not take for that of the page.
    dag_link(dag_list, kind).wait_for(state="detached")
    dag_list.get_by_role("button", name="Dag Docs").wait_for()
    return dag_list


def test_a_stranger_sees_the_login_alone_and_then_the_page(entry: Entry) -> None:
    assert "smoke_test" not in entry.seen
    assert "sample" not in entry.seen
    assert entry.url.endswith(DAG_PAGE)


def test_the_administrator_sees_the_groups_of_steps_closed_and_opens_them(dag_page: Any) -> None:
    dag_page.get_by_label("Show Graph").first.click()
    graph = dag_page.get_by_test_id("rf__wrapper")
    for node in ("preflight", "Prepare", "Train and evaluate", "Review", "smoke_test", "report", "rollback"):
        graph.get_by_text(node, exact=True).first.wait_for()
    assert graph.get_by_text("gate", exact=True).count() == 0
    dag_page.get_by_label("Expand all task groups").first.click()
    graph.get_by_text("gate", exact=True).first.wait_for()
    dag_page.get_by_label("Show Grid").first.click()  # the other tests need no graph


@pytest.mark.parametrize(
    ("tag", "shown", "hidden"),
    [
        ("main", "sample: deploy a new model", "sample: tear down"),
        ("destructive", "sample: tear down", "sample: deploy a new model"),
    ],
)
def test_the_list_tells_the_main_dag_from_the_destructive_one(
    dag_list: Any, tag: str, shown: str, hidden: str
) -> None:
    dag_list.get_by_text(hidden).first.wait_for()
    dag_list.locator(f"a[href='/dags?tags={tag}']").first.click()
    dag_list.wait_for_url(f"**/dags?tags={tag}")
    dag_list.get_by_text(hidden).first.wait_for(state="detached")
    dag_list.get_by_text(shown).first.wait_for()
    assert dag_list.get_by_text(hidden).count() == 0


@pytest.mark.parametrize(
    ("dag_page", "kind"), list(zip(KINDS, KINDS, strict=True)), indirect=["dag_page"], ids=KINDS
)
def test_a_dag_has_documentation_with_links_that_lead_to_dags(
    dag_page: Any, whole_stack: Stack, kind: str
) -> None:
    """The fixture `dag_page` shows the pages of all these DAGs."""
    dag_page.get_by_role("button", name="Dag Docs").click()
    document = dag_page.get_by_role("dialog")
    document.get_by_role("heading", name="What it costs").wait_for()
    linked = set(document.locator("a").evaluate_all("all => all.map(a => a.href)"))
    close(dag_page)
    assert linked <= {f"{whole_stack.paths.airflow_url}/dags/sample.{each}" for each in KINDS}


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
    close(dag_page)


@pytest.mark.parametrize(
    ("dag_page", "kind"), list(zip(KINDS, KINDS, strict=True)), indirect=["dag_page"], ids=KINDS
)
def test_a_form_can_be_sent_as_it_opens(
    dag_page: Any, airflow: AirflowApi, eventually: Callable[..., Any], kind: str
) -> None:
    dag_id = f"sample.{kind}"
    airflow.unpause(dag_id)
    before = {run.run_id for run in every_run(airflow, dag_id)}
    open_form(dag_page).get_by_test_id("trigger-dag-submit").click()

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


def dag_link(page: Any, kind: str) -> Any:
    """Return the link to a DAG in the list."""
    return page.locator(f"a[data-testid=dag-id][href$='/dags/sample.{kind}']")


def open_form(page: Any) -> Any:
    """Open the form of the DAG whose page is open."""
    page.get_by_label("Trigger Dag").first.click()
    return page.get_by_role("dialog")


def close(page: Any) -> None:
    """Close the dialog that is open."""
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")


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
