"""Follow every link that tasks, questions and reports show, in a browser, and see the page.

The tests share the run of the fixture `approved`, and can run alone and in any order.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urldefrag, urlsplit

import pytest
import requests
from PIL import Image

from include.laptop.airflow_api import AirflowApi, run_path
from include.laptop.credentials import ADMIN, VIEWER, passwords
from include.laptop.stack import Stack
from tests.e2e.conftest import sign_in
from tests.e2e.sample_runs import RELEASE, WORKSPACE, Approved, links_in

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(1800)]

PageOf = Callable[..., Any]
SEEN = "() => [...document.images].every(image => image.complete && image.naturalWidth > 0)"


def links_of(airflow: AirflowApi, dag_id: str, run_id: str) -> dict[tuple[str, str], str]:
    """Return the links that Airflow shows of each task of a run, by task and name."""
    return {
        (task.task_id, name): url
        for task in airflow.task_instances(dag_id, run_id)
        for name, url in airflow.ask(
            "GET", f"{run_path(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/links"
        )["extra_links"].items()
        if url is not None
    }


@pytest.fixture
def links(airflow: AirflowApi, approved: Approved) -> dict[tuple[str, str], str]:
    """Return the links of the tasks of the finished run."""
    return links_of(airflow, RELEASE, approved.run_id)


def see(page: Any, url: str) -> list[str]:
    """Open a report, check that a person sees all of it, and return the URLs to which it links."""
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
    page.on("requestfailed", lambda request: wrong.append(request.url))
    answer = page.goto(url)
    assert answer.status == 200, (url, answer.status)
    page.get_by_role("heading", level=1).first.wait_for()
    page.wait_for_function(SEEN)
    assert wrong == [], url
    return [
        urldefrag(link).url for link in page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
    ]


@dataclass(frozen=True)
class Pages:
    """The pages to which tasks, the question and the reports link.

    :param reports: what the administrator received, by URL.
    :param of_airflow: the URLs of pages of Airflow's UI.
    """

    reports: dict[str, bytes]
    of_airflow: set[str]


@pytest.fixture(scope="module")
def followed(
    context_of: Callable[[str], Any], airflow: AirflowApi, approved: Approved, whole_stack: Stack
) -> Pages:
    """Follow every link in the browser as the administrator."""
    airflow_url = whole_stack.paths.airflow_url
    page = context_of(ADMIN).new_page()
    waiting = [*links_of(airflow, RELEASE, approved.run_id).values(), *links_in(approved.question)]
    reports: dict[str, bytes] = {}
    of_airflow = set()
    while waiting:
        url = waiting.pop()
        assert url.startswith(f"{airflow_url}/"), f"{url} leads out of Airflow"
        if not url.startswith(f"{airflow_url}/projects/"):
            of_airflow.add(url)
        elif url not in reports:
            waiting += see(page, url)
            reports[url] = airflow.session.get(url, timeout=60).content
    page.close()
    return Pages(reports, of_airflow)


def api_of(airflow: AirflowApi, url: str) -> requests.Response:
    """Return what the API tells a user of the DAG, run or task that a page of Airflow's UI shows."""
    path = (
        urlsplit(url)
        .path.removeprefix("/")
        .replace("/runs/", "/dagRuns/")
        .replace("/tasks/", "/taskInstances/")
    )
    return airflow.request("GET", path)


def test_a_task_links_to_pages_at_airflow_alone(
    links: dict[tuple[str, str], str], whole_stack: Stack
) -> None:
    assert {
        ("stage_data", "Data report"),
        ("tune", "Tuning report"),
        ("evaluate", "Evaluation report"),
        ("report", "Run report"),
    } <= links.keys()
    pages = f"{whole_stack.paths.airflow_url}/projects/sample/reports/"
    assert [url for url in links.values() if not url.startswith(pages)] == []


def test_every_link_of_tasks_questions_and_reports_leads_to_a_page(
    followed: Pages, airflow: AirflowApi
) -> None:
    assert len(followed.reports) >= 3
    for url in followed.of_airflow:
        assert api_of(airflow, url).status_code == 200, url


def test_the_viewer_receives_what_the_administrator_sees(followed: Pages, viewer: AirflowApi) -> None:
    viewer.ask("GET", "dags")  # signs in
    for url, report in followed.reports.items():
        answer = viewer.session.get(url, timeout=60)
        assert (answer.status_code, answer.content) == (200, report), url
    for url in followed.of_airflow:
        assert api_of(viewer, url).status_code == 200, url


def test_whoever_approves_has_seen_the_evaluation_before(approved: Approved) -> None:
    assert "<title>Evaluation" in approved.evidence
    assert "<svg" in approved.evidence or "<img" in approved.evidence


@pytest.fixture
def question_page(page_of: PageOf, approved: Approved) -> Callable[[str], Any]:
    """Open the page of the question in Airflow, check that it shows the link, and return the page."""

    def show(user: str) -> Any:
        page = page_of(user)
        page.goto(f"/dags/{RELEASE}/runs/{quote(approved.run_id)}/tasks/approve/required_actions")
        (url,) = links_in(approved.question)
        page.locator(f"a[href='{url}']").wait_for()
        return page

    return show


def test_the_viewer_sees_the_link_of_a_question_in_airflow(question_page: Callable[[str], Any]) -> None:
    question_page(VIEWER)


def test_the_administrator_opens_the_report_of_the_run_from_the_page_of_a_question(
    question_page: Callable[[str], Any], approved: Approved
) -> None:
    page = question_page(ADMIN)
    page.locator(f"a[href*='/runs/{approved.run_id}/tasks/report']").click()
    page.get_by_role("link", name="Details").click()
    page.get_by_role("link", name="Run report").click()
    page.wait_for_url("**/projects/sample/reports/runs/*/report.html")
    assert "Accuracy of the candidate" in page.inner_text("body")


def test_a_person_who_is_not_signed_in_is_sent_to_the_login(followed: Pages, whole_stack: Stack) -> None:
    for url in followed.reports:
        answer = requests.get(url, headers={"Accept": "text/html"}, timeout=60)
        assert answer.url.startswith(f"{whole_stack.paths.airflow_url}/auth/login?next="), url
        assert not any(b"Accuracy" in each.content for each in (*answer.history, answer)), url


def test_a_person_who_is_not_signed_in_sees_the_login_and_then_the_page(
    page_of: PageOf, links: dict[tuple[str, str], str], whole_stack: Stack
) -> None:
    url = links["report", "Run report"]
    page = page_of()
    page.goto(url)
    page.wait_for_selector("input[name=password]")
    assert page.get_by_text("Accuracy").count() == 0
    sign_in(page, VIEWER, passwords(whole_stack.paths.passwords_file)[VIEWER])
    page.wait_for_url(url)


def test_a_page_shows_its_own_pictures_and_runs_no_script(
    page_of: PageOf, aws: Callable[[str], Any], whole_stack: Stack
) -> None:
    s3 = aws("s3")
    (bucket,) = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    folder = "sample/runs/pictured"
    # A picture that exists, on what a browser takes for another host.
    foreign = f"{whole_stack.paths.airflow_url.replace('127.0.0.1', 'localhost')}/static/pin_32.png"
    assert requests.get(foreign, timeout=60).headers["Content-Type"] == "image/png"
    hostile = (
        "<!doctype html><title>Pictured</title><script>document.title = 'ran'</script>"
        f"<img id='own' src='pictures/star.png'><img id='foreign' src='{foreign}'>"
        "<img src='' onerror=\"document.title = 'ran'\"><svg onload=\"document.title = 'ran'\"></svg>"
    )
    s3.put_object(Bucket=bucket, Key=f"{folder}/report.html", Body=hostile.encode())
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    s3.put_object(Bucket=bucket, Key=f"{folder}/pictures/star.png", Body=picture.getvalue())
    page = page_of(VIEWER)
    page.goto("/projects/sample/reports/runs/pictured/report.html")
    page.wait_for_function("() => document.querySelector('#own').naturalWidth > 0")
    assert page.title() == "Pictured"
    page.wait_for_function("() => document.querySelector('#foreign').complete")
    assert page.eval_on_selector("#foreign", "image => image.naturalWidth") == 0


def test_a_report_that_was_deleted_says_what_to_do(page_of: PageOf, approved: Approved) -> None:
    page = page_of(VIEWER)
    assert page.goto("/projects/sample/reports/runs/deleted/report.html").status == 404
    page.get_by_text("Run sample.train_and_deploy again").wait_for()
    page.get_by_role("link", name=RELEASE).click()
    # test_ui.py shows that page.
    page.wait_for_url(f"**/dags/{RELEASE}", wait_until="commit")


def test_the_link_of_a_workspace_opens_jupyterlab_for_whoever_may_trigger_it(
    page_of: PageOf, airflow: AirflowApi, workspace: str
) -> None:
    found = links_of(airflow, WORKSPACE, workspace)
    assert set(found) == {("create_instance", "Open JupyterLab")}
    (url,) = found.values()
    page = page_of(ADMIN)
    page.goto(url)
    page.wait_for_url(re.compile(r"/lab(\?|$)"))
    page.get_by_role("tab", name=re.compile("Launcher|File Browser")).first.wait_for()
    page = page_of(VIEWER)
    assert page.goto(url).status == 403
    page.get_by_text("may not trigger the DAG sample.workspace").wait_for()
