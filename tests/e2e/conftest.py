"""The whole stack, as `make up` starts it, on free ports with a folder of its own."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from include.laptop import demo
from include.laptop.airflow_api import AirflowApi, AirflowApiError
from include.laptop.credentials import VIEWER, passwords
from include.laptop.stack import Stack
from include.laptop.terminal import make_console
from include.pipeline import approval
from tests import chromium
from tests.e2e.after_failure import describe, end_runs
from tests.e2e.sample_runs import (
    RELEASE,
    RUN_SECONDS,
    STACK_PAUSE,
    WATCH_PAUSE,
    WORKSPACE,
    Approved,
    Client,
    ask,
    await_question,
    links_in,
    run,
    serving,
    show_status,
    start,
    states,
)
from tests.free_ports import free_port

# To draw the frames of animations takes a tenth of the time that a page takes. The content security policy of the
# reports forbids further <style> elements.
WITHOUT_ANIMATIONS = """
const sheet = new CSSStyleSheet();
sheet.replaceSync("*, *::before, *::after { animation: none !important; transition: none !important; }");
document.adoptedStyleSheets = [sheet];
"""

PAGE_MILLISECONDS = 180_000
# The tests change no DAG file, so to parse all of them every 10 s would only take their time. While a run waits, each
# loop of the scheduler takes some 40 ms of a processor.
THRIFTY = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
}
# Airflow notices within seconds, not minutes, that a worker or a triggerer is dead, or that a timeout has passed.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}


@pytest.fixture(scope="session")
def eventually(eventually: Callable[..., Any]) -> Callable[..., Any]:
    """Look less often than other tests, unless a test says otherwise."""
    return functools.partial(eventually, pause=STACK_PAUSE)


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a stack until the end of a block; options are those of Stack."""

    @contextmanager
    def running(**options: Any) -> Iterator[Stack]:
        stack = Stack(tmp_path_factory.mktemp("a stack"), free_port(), free_port(), **options)
        try:
            stack.up()
            yield stack
        finally:
            stack.down()
            assert stack.supervision.processes() == []

    return running


@pytest.fixture(scope="session")
def client_of() -> Callable[[Stack, str], Any]:
    """Makes boto3 clients of a stack's local AWS."""

    def client(stack: Stack, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=stack.paths.aws_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    return client


@pytest.fixture(scope="session")
def whole_stack(running_stack: Callable[..., Any]) -> Iterator[Stack]:
    """A stack as a user has it, but for how often it looks for something to do."""
    with running_stack(extra_environment=THRIFTY) as stack:
        yield stack


@pytest.fixture(scope="session")
def impatient_stack(running_stack: Callable[..., Any]) -> Iterator[Stack]:
    """A stack with the DAGs of tests/e2e/dags, whose processes may be killed."""
    dags_folder = Path(__file__).parent / "dags"
    with running_stack(dags_folder=dags_folder, extra_environment=THRIFTY | IMPATIENT) as stack:
        yield stack


@pytest.fixture(scope="session")
def airflow(whole_stack: Stack) -> AirflowApi:
    return whole_stack.api()


@pytest.fixture(scope="session")
def aws(whole_stack: Stack, client_of: Callable[[Stack, str], Any]) -> Callable[[str], Any]:
    """Makes boto3 clients of the stack's local AWS."""
    return lambda service: client_of(whole_stack, service)


@pytest.fixture(scope="session")
def viewer(airflow: AirflowApi, whole_stack: Stack) -> AirflowApi:
    """Return Airflow's API as the viewer."""
    return AirflowApi(airflow.url, VIEWER, passwords(whole_stack.paths.passwords_file)[VIEWER])


@pytest.fixture(scope="session")
def approved(
    airflow: AirflowApi,
    viewer: AirflowApi,
    aws: Client,
    whole_stack: Stack,
    eventually: Callable[..., Any],
) -> Approved:
    """Run and watch the first release. The viewer tries to approve it, then the administrator approves it."""
    run_id = start(airflow, RELEASE, require_approval=True)
    watched = io.StringIO()
    watcher = threading.Thread(
        target=demo.watch,
        args=(whole_stack.api(), RELEASE, run_id, make_console(watched)),
        kwargs={"poll_seconds": WATCH_PAUSE},
        daemon=True,
    )
    watcher.start()
    path = await_question(airflow, run_id, "approve")
    eventually(lambda: "approve waits" in watched.getvalue())
    question = airflow.ask("GET", path)["body"]
    (page,) = links_in(question)
    evidence = airflow.session.get(page, timeout=60)
    shown = show_status(whole_stack)
    chosen = {"chosen_options": [approval.APPROVE], "params_input": {}}
    refusal = ""
    try:
        viewer.ask("PATCH", path, json=chosen)
    except AirflowApiError as error:
        refusal = str(error)
    airflow.ask("PATCH", path, json=chosen)
    state = airflow.wait(RELEASE, run_id, RUN_SECONDS)
    watcher.join(RUN_SECONDS)
    package = airflow.xcom(RELEASE, run_id, "register")["arn"]
    described = aws("sagemaker").describe_model_package(ModelPackageName=package)
    return Approved(run_id, state, question, evidence.text, refusal, described, shown, watched.getvalue())


@pytest.fixture
def live(airflow: AirflowApi, aws: Client, approved: Approved) -> str:
    """Make sure that a model is live, and return it."""
    if serving(aws) is None:  # another test has torn the project down
        run_id, state = run(airflow, RELEASE)
        assert state == "success", states(airflow, RELEASE, run_id)
    return ask(aws)["model"]


@pytest.fixture
def workspace(airflow: AirflowApi, aws: Callable[[str], Any]) -> str:
    """Make sure that the notebook instance is in service, and return the id of the run that created it."""
    if aws("sagemaker").list_notebook_instances(StatusEquals="InService")["NotebookInstances"]:
        return airflow.runs(WORKSPACE, ["success"], limit=1)[0].run_id
    run_id, state = run(airflow, WORKSPACE, action="create")
    assert state == "success", states(airflow, WORKSPACE, run_id)
    return run_id


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium. Not for longer: while it runs, no other test of this process can run an event loop."""
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def open_context(browser: Any, whole_stack: Stack) -> Iterator[Callable[..., Any]]:
    """Open a part of the browser with cookies and a cache of its own, in which a user is signed in, or nobody."""
    opened = []

    def open_one(user: str | None = None) -> Any:
        url = whole_stack.paths.airflow_url
        context = browser.new_context(viewport={"width": 1500, "height": 900}, base_url=url)
        context.set_default_timeout(PAGE_MILLISECONDS)
        context.add_init_script(WITHOUT_ANIMATIONS)
        opened.append(context)
        if user:
            # The cookie that Airflow's login sets. Tests of the login itself fill it in, which loads two more pages.
            password = passwords(whole_stack.paths.passwords_file)[user]
            token = requests.post(
                f"{url}/auth/token", json={"username": user, "password": password}, timeout=60
            ).json()["access_token"]
            context.add_cookies([{"name": "_token", "value": token, "url": url}])
        return context

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def context_of(open_context: Callable[..., Any]) -> Callable[[str], Any]:
    """Return the part of the browser in which a user is signed in. What its pages share is loaded once."""
    return functools.cache(open_context)


@pytest.fixture
def page_of(
    open_context: Callable[..., Any], context_of: Callable[[str], Any]
) -> Iterator[Callable[..., Any]]:
    """Open an empty page of a browser in which a user is signed in, or nobody."""
    opened = []

    def open_page(user: str | None = None) -> Any:
        page = (context_of(user) if user else open_context()).new_page()
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.close()


def sign_in(page: Any, user: str, password: str) -> None:
    """Fill in Airflow's login."""
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what the runs of its stack were doing."""
    report = yield
    if report.failed and report.when != "teardown":
        item.stash[_FAILED] = True
        for stack in _stacks_of(item):
            report.sections.append((f"Runs of the stack in {stack.paths.state_dir}", describe(stack)))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the runs that a failed test leaves, so that they do not delay or fail the next test."""
    if item.stash.get(_FAILED, False):
        for stack in _stacks_of(item):
            try:
                end_runs(stack)
            except Exception as error:  # the stack may be down
                item.warn(
                    pytest.PytestWarning(
                        f"The runs of the stack in {stack.paths.state_dir} were not ended: {error}"
                    )
                )


def _stacks_of(item: pytest.Item) -> list[Stack]:
    return [value for value in item.funcargs.values() if isinstance(value, Stack)]  # type: ignore[attr-defined]
