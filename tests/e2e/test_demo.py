"""What `make demo` and `make status` show of the whole stack, and the calls that the README and the demo print."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from include.laptop import last_screen
from include.laptop.airflow_api import AirflowApi, TaskInstance
from include.laptop.calls import local_credentials
from include.laptop.demo import finished, read_project
from include.laptop.stack import Stack
from include.laptop.stack_paths import REPOSITORY
from include.laptop.terminal import make_console
from tests.e2e.sample_runs import RELEASE, Approved, show_status, star

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def test_a_run_is_watched_line_by_line(airflow: AirflowApi, approved: Approved) -> None:
    lines = [line.partition(" s  ")[2] for line in approved.watched.splitlines()]
    page = airflow.question_page(RELEASE, approved.run_id, TaskInstance("approve", -1, None, 1, None, None))
    for expected in ("train started", f"approve waits for an answer: {page}", "rollback skipped"):
        assert expected in lines
    assert any(line.startswith("report succeeded after ") for line in lines)


def test_status_shows_a_question_and_the_run_that_asks(approved: Approved) -> None:
    lines = approved.status.splitlines()
    assert any(line.startswith('Answer "') and line.endswith("/required_actions") for line in lines)
    (run,) = [line for line in lines if line.startswith(f"{RELEASE} {approved.run_id}: running since ")]
    assert run.endswith(", now approve")
    assert "sample nothing" in lines


@pytest.mark.usefixtures("live")
def test_status_shows_what_is_live(whole_stack: Stack) -> None:
    assert re.search(
        r"^sample version \d+ [01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\) .*\d\d:\d\d sample sample:live$",
        show_status(whole_stack),
        re.MULTILINE,
    )


@pytest.fixture
def screen(airflow: AirflowApi, whole_stack: Stack, approved: Approved, live: str) -> last_screen.Finished:
    """Return what the demo shows at the end of the approved run."""
    return finished(airflow, whole_stack.paths, read_project("sample"), approved.run_id)


README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CALLS = README.partition("## Call the model\n")[2].partition("\n## ")[0]
SCRIPTS = re.findall(r"^```sh\n(.*?)^```$", CALLS, re.MULTILINE | re.DOTALL)[1:]
"""The shell blocks of the README's section, without the one that leads the shell to local AWS."""
CALLERS = ("boto3", "AWS command line", "curl")


def run_script(script: str, folder: Path, stack: Stack) -> str:
    """Run a call in a shell without any setting of the user's, in a folder with `.venv` and `photo.jpg`."""
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    Image.open(io.BytesIO(base64.b64decode(star()))).convert("RGB").save(folder / "photo.jpg")
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    script = f"{local_credentials(stack.paths.aws_url)}\n{script}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def predicted(printed: str) -> dict[str, Any]:
    """Return the answer, which is the last line: the AWS command line prints about the call before."""
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


@pytest.mark.parametrize("number", range(len(CALLERS)), ids=CALLERS)
def test_the_calls_in_the_readme_work(number: int, live: str, whole_stack: Stack, tmp_path: Path) -> None:
    if "aws " in SCRIPTS[number] and not shutil.which("aws"):
        pytest.skip("There is no AWS command line on this machine.")
    answer = predicted(run_script(SCRIPTS[number], tmp_path, whole_stack))
    assert answer["predictions"][0]["label"] == "004.star"
    assert answer["model"] == live


@pytest.mark.parametrize("number", range(len(CALLERS)), ids=CALLERS)
def test_the_calls_that_the_demo_prints_work(
    number: int, screen: last_screen.Finished, live: str, whole_stack: Stack, tmp_path: Path
) -> None:
    call = screen.calls[number]
    assert call.name == CALLERS[number]
    if "aws " in call.script and not shutil.which("aws"):
        pytest.skip("There is no AWS command line on this machine.")
    answer = predicted(run_script(call.script, tmp_path, whole_stack))
    assert answer["predictions"][0]["label"] == screen.smoke_test.requests[0].label
    assert answer["model"] == live


VARIES = (
    (r"(?m)^( *)[\N{CHECK MARK}\N{BALLOT X}](.*) \d{3}\.\w+( +[\d.]+%)", r"\1<mark>\2 <answer>\3"),
    (r"/(runs|reports|function-urls)/\S+", r"/\1/<id>"),
    (r"sample-model-[0-9a-f]{12}", "sample-model-<digest>"),
    (r"'/[^'\n]*/sample\.png'|[^\s@']*/sample\.png", ".local/sample.png"),
    (r"\S*\.local/", ".local/"),
    (r"\S*\.venv/bin/python", ".venv/bin/python"),
    (r"since (\d{4}-\d\d-\d\d )?\d\d:\d\d( UTC)?", "since <time>"),
    (r"[\d.]+ s|\d+ min \d+ s|\d+ h \d+ min", "<duration>"),
    (r"(?<![A-Za-z])\d+(,\d{3})*(\.\d+)?", "<number>"),
    (r"export NO_PROXY=.*\n", ""),
    (r" +", " "),
)
"""What differs from run to run and from machine to machine.

Which of the images are right, identifiers, the folder of the stack, a proxy, times, and every number. Columns are as
wide as their longest cell, so that blanks count once.
"""


def normalized(screen: str) -> list[str]:
    for pattern, name in VARIES:
        screen = re.sub(pattern, name, screen)
    return screen.strip().splitlines()


def test_the_last_screen_of_the_demo_is_the_one_in_the_readme(screen: last_screen.Finished) -> None:
    printed = io.StringIO()
    last_screen.show(make_console(printed), screen)
    (documented,) = re.findall(
        r"^```text\n(Predictions of the Lambda function: .*?)^```$", README, re.MULTILINE | re.DOTALL
    )
    assert normalized(documented) == normalized(printed.getvalue())


def test_the_pages_that_the_demo_names_open_for_the_administrator(
    airflow: AirflowApi, screen: last_screen.Finished
) -> None:
    assert [name for name, _ in screen.links] == ["Run in Airflow", "Report", "Evaluation"]
    for name, url in screen.links[1:]:
        assert requests.get(url, timeout=30).status_code in (401, 403), name
        token = airflow.session.headers["Authorization"]
        page = requests.get(url, headers={"Authorization": token}, timeout=30)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), name
