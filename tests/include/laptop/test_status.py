"""The output of `make status` for a stack that is stopped, hanging or healthy, with the next steps."""

import io
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.laptop import status
from include.laptop.dag_runs import DagRun
from include.laptop.live_models import LiveModel
from include.laptop.stack import Stack
from include.laptop.stack_paths import REPOSITORY, StackPaths
from include.laptop.status import AwsState, Question, Status, Work
from include.laptop.supervision import Component
from include.laptop.terminal import make_console

NOW = datetime.now(UTC)
PROGRAMS = ("local-aws", "api-server", "scheduler", "dag-processor", "triggerer")
HEALTH: dict[str, dict[str, Any]] = {
    name: {"status": "healthy", f"latest_{name}_heartbeat": NOW.isoformat()}
    for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")
}
LIVE = LiveModel(
    project="sample",
    model="sample-model-0123456789ab",
    endpoint="sample",
    status="InService",
    function="sample:live",
    version=3,
    accuracy=(0.925, 0.88, 0.954),
    since=NOW,
)
RUN = DagRun("sample.train_and_deploy", "manual__1", "running", NOW, NOW, None)
QUESTION = Question(
    "manual__1 of sample.train_and_deploy", "Deploy the new model?", NOW, "http://airflow/approve"
)


@pytest.fixture
def healthy(tmp_path: Path) -> Status:
    components = [Component(name, "running", NOW, tmp_path / f"{name}.log") for name in PROGRAMS]
    live = AwsState({"dogs": None, "sample": LIVE}, [])
    return Status(StackPaths(tmp_path), components, HEALTH, {"status": "ok"}, Work(), live)


def shown(found: Status) -> list[str]:
    """Return the output as lines with single spaces."""
    printed = io.StringIO()
    status.show(make_console(printed), found)
    return [" ".join(line.split()) for line in printed.getvalue().splitlines()]


def with_component(found: Status, name: str, state: Any) -> Status:
    components = [
        replace(each, state=state, since=None) if each.name == name else each for each in found.components
    ]
    return replace(found, components=components)


def test_healthy_stack_shows_its_components_and_live_models(healthy: Status) -> None:
    lines = shown(healthy)
    at = status.clock_time(NOW)
    assert any(line.startswith(f"\N{CHECK MARK} scheduler healthy {at}, ") for line in lines)
    assert any(
        line.startswith("\N{CHECK MARK} api-server healthy") and line.endswith("8080") for line in lines
    )
    assert f"sample version 3 0.925 (0.880 to 0.954) {at} sample sample:live" in lines
    assert "dogs nothing" in lines
    assert healthy.is_healthy


@pytest.mark.parametrize("state", ["suspended", "restarting", "given up"])
def test_component_that_is_not_running_is_reported_with_its_log(healthy: Status, state: str) -> None:
    found = with_component(healthy, "triggerer", state)
    assert not found.is_healthy
    assert any(line.startswith(f"triggerer: {state}. Its log is ") for line in shown(found))


def test_component_without_a_heartbeat_is_reported(healthy: Status) -> None:
    health = HEALTH | {"scheduler": {**HEALTH["scheduler"], "status": "unhealthy"}}
    found = replace(healthy, airflow_health=health)
    assert not found.is_healthy
    assert any("scheduler: no heartbeat since" in line for line in shown(found))


def test_unusable_database_is_reported(healthy: Status) -> None:
    found = replace(healthy, airflow_health=HEALTH | {"metadatabase": {"status": "unhealthy"}})
    assert any("api-server: can't use its database." in line for line in shown(found))


def test_timeout_of_one_part_does_not_affect_the_rest(healthy: Status) -> None:
    late = "Airflow's API server (runs and questions) did not respond within 5 s."
    found = replace(healthy, work=late)
    lines = shown(found)
    assert late in lines
    assert any(line.startswith("sample version 3") for line in lines)
    assert not found.is_healthy


def test_untested_release_is_reported(healthy: Status) -> None:
    untested = replace(LIVE, is_tested=False, since=None)
    lines = shown(replace(healthy, aws=AwsState({"sample": untested}, [])))
    assert any(line.startswith("sample version 3, untested") for line in lines)
    assert any(line.startswith("sample has a release without a passed smoke test") for line in lines)


def test_runs_and_questions_are_shown_with_next_steps(healthy: Status) -> None:
    work = Work([RUN], {"manual__1": ["approve"]}, [QUESTION])
    lines = shown(replace(healthy, work=work))
    at = status.clock_time(NOW)
    assert f"sample.train_and_deploy manual__1: running since {at}, now approve" in lines
    assert 'Answer "Deploy the new model?": http://airflow/approve' in lines
    assert "`make demo PROJECT=sample` watches its run." in lines


def test_demo_is_suggested_if_nothing_is_live(healthy: Status) -> None:
    lines = shown(replace(healthy, aws=AwsState({"dogs": None}, ["fish.yaml: name is missing."])))
    assert "Train and deploy a model: `make demo PROJECT=dogs`." in lines
    assert "Fix project file fish.yaml: name is missing." in lines


def run_status(state_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include.laptop", "status", "--state-dir", state_dir],
        cwd=REPOSITORY,
        env={**os.environ, "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_status_without_a_running_stack_succeeds_and_creates_nothing(tmp_path: Path) -> None:
    found = run_status(tmp_path / "none")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("Nothing is running.\n")
    assert not (tmp_path / "none").exists()


def test_status_ends_and_reports_what_does_not_respond(hanging: Stack) -> None:
    found = run_status(hanging.paths.state_dir)
    assert found.returncode == 1, found.stderr
    for what, port in (
        ("Airflow's API server", hanging.paths.airflow_port),
        ("Local AWS", hanging.paths.aws_port),
    ):
        # On a busy machine the limit for all requests may end first.
        assert re.search(
            rf"^{what}( at 127\.0\.0\.1:{port})? did not respond within \d s\.$", found.stdout, re.M
        )
    assert "secret" not in found.stdout
    assert "\x1b" not in found.stdout


def test_total_timeout() -> None:
    never = threading.Event()
    answers = status.within(0.2, ("Airflow", never.wait), ("Local AWS", lambda: 3))
    never.set()
    assert answers == ["Airflow did not respond within 0.2 s.", 3]
