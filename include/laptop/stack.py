"""Start and stop the stack on a laptop: local AWS and Airflow's four components."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import requests

from include.laptop.airflow_api import AirflowApi
from include.laptop.checks import StackError, check_disk, check_ports, own_files
from include.laptop.credentials import ADMIN, keys, passwords
from include.laptop.environment import stack_environment
from include.laptop.stack_paths import (
    DEFAULT_AIRFLOW_PORT,
    DEFAULT_AWS_PORT,
    DEFAULT_STATE_DIR,
    REPOSITORY,
    StackPaths,
)
from include.laptop.supervision import Supervision, last_lines, programs

HEALTHY_WITHIN_SECONDS = 180
ANSWER_SECONDS = 5
POLL_SECONDS = 0.2
AIRFLOW_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class Stack:
    """One stack, identified by its state folder.

        stack = Stack(Path("/tmp/mine"), airflow_port=8090, aws_port=5570)
        stack.up()
        stack.api().trigger("sample.train_and_deploy", {})
        stack.down()

    If it is already running, its ports are those with which it was started.
    """

    def __init__(
        self,
        state_dir: Path = DEFAULT_STATE_DIR,
        airflow_port: int = DEFAULT_AIRFLOW_PORT,
        aws_port: int = DEFAULT_AWS_PORT,
        say: Callable[[str], None] = print,
        dags_folder: Path = REPOSITORY / "dags",
        extra_environment: Mapping[str, str] | None = None,
    ) -> None:
        self.paths = StackPaths(state_dir.resolve(), airflow_port, aws_port)
        self.supervision = Supervision(self.paths, programs(self.paths))
        if self.supervision.is_running():
            self.paths = self.paths.with_remembered_ports()
        self._say = say
        self._differences = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder), **(extra_environment or {})}

    def api(self) -> AirflowApi:
        """Return a client for Airflow's REST API with the administrator's credentials."""
        return AirflowApi(self.paths.airflow_url, ADMIN, passwords(self.paths.passwords_file)[ADMIN])

    def up(self) -> bool:
        """Start the stack until it is healthy, and report repairs; return False if it was already healthy.

        :raises StackError: If it can't be started.
        """
        with own_files(self.paths):
            self.paths.make()
        check_disk(self.paths)
        with self._alone():
            if self.supervision.is_running():
                self._wait_until_healthy()
                return False
            left = self.supervision.stop()  # processes of a killed supervisord
            if left:
                self._say(f"Stopped {left} processes of an earlier stack that were still running")
            check_ports(self.paths)
            with own_files(self.paths):
                passwords(self.paths.passwords_file)
                environment = stack_environment(self.paths, keys(self.paths.keys_file), os.environ)
                environment |= self._differences
                self._migrate_database(environment)
                self.paths.remember_ports()
            self._say("Starting local AWS and Airflow")
            try:
                started_at = datetime.now(UTC)
                self.supervision.start(environment)
                self._wait_until_healthy(started_at)
                self._end_runs_of_an_earlier_life(started_at)
            except BaseException:
                self.supervision.stop()
                raise
            return True

    def down(self) -> int:
        """Stop all processes of this stack; return their number."""
        if not self.paths.state_dir.exists():
            return 0
        with self._alone():
            return self.supervision.stop()

    def is_changing(self) -> bool:
        """Return whether another command is starting or stopping this stack."""
        try:
            descriptor = os.open(self.paths.state_dir, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def health(self) -> dict[str, str]:
        """Return the health of local AWS and of each component of Airflow: "healthy" or another status."""
        aws = _get(f"{self.paths.aws_url}/_local_aws/health")
        health = {"local AWS": "healthy" if aws and aws.get("status") == "ok" else "no answer"}
        airflow = _get(f"{self.paths.airflow_url}/api/v2/monitor/health")
        for component in AIRFLOW_COMPONENTS:
            state = (airflow or {}).get(component)
            health[component.replace("_", " ")] = (state["status"] or "unknown") if state else "no answer"
        return health

    def _wait_until_healthy(self, started_at: datetime | None = None) -> None:
        """Wait until all components are healthy; with `started_at`, only components that started later count."""
        until = time.monotonic() + HEALTHY_WITHIN_SECONDS
        aws_is_ready = forgot = False
        while not (aws_is_ready and self.airflow_is_ready(started_at)):
            if not aws_is_ready and _get(f"{self.paths.aws_url}/_local_aws/health"):
                was_made = self._deploy_infrastructure()
                aws_is_ready = True
                forgot = was_made and started_at is None
            if started_at is not None:
                self._raise_if_crashed()
            self._raise_if_given_up()
            if time.monotonic() > until:
                unhealthy = ", ".join(
                    f"{name} ({how})" for name, how in self.health().items() if how != "healthy"
                )
                raise StackError(
                    f"The stack is not healthy after {HEALTHY_WITHIN_SECONDS} s: {unhealthy}. "
                    f"The logs are in {self.paths.logs}. `make down` stops the stack."
                )
            time.sleep(POLL_SECONDS)
        # The stack is created at the first call. Otherwise, the first task would wait for it up to 30 s.
        _get(f"{self.paths.airflow_url}/execution/health", seconds=60)
        if forgot:
            self._say(
                "Local AWS was restarted and lost its state. Its bucket and roles were created again. New runs must "
                "create data sets, models and endpoints again"
            )
            self._end_runs_of_an_earlier_life(datetime.now(UTC))

    def airflow_is_ready(self, started_at: datetime | None) -> bool:
        health = _get(f"{self.paths.airflow_url}/api/v2/monitor/health")
        if health is None or any(
            (health.get(component) or {}).get("status") != "healthy" for component in AIRFLOW_COMPONENTS
        ):
            return False
        # The heartbeat of a component that stopped a few seconds ago still counts as healthy.
        return started_at is None or all(
            datetime.fromisoformat(health[component][f"latest_{component}_heartbeat"]) >= started_at
            for component in AIRFLOW_COMPONENTS
            if component != "metadatabase"
        )

    def _end_runs_of_an_earlier_life(self, started_at: datetime) -> None:
        # Local AWS keeps its state in memory. The resources of such a run no longer exist, so it can only fail.
        api = self.api()
        for run in api.unfinished_runs():
            if run.queued_at is None or run.queued_at < started_at:
                api.fail_run(run, note="Local AWS was stopped during this run and lost its state.")
                self._say(
                    f"Marked {run.run_id} of {run.dag_id} as failed: it was interrupted by the last stop"
                )

    def _deploy_infrastructure(self) -> bool:
        """Create or update the CloudFormation stack; return whether it was created."""
        from include.laptop.infrastructure import deploy  # imports boto3: half a second

        return deploy(self.paths.aws_url) == "created"

    def _raise_if_crashed(self) -> None:
        crash = self.supervision.first_crash()
        if crash is not None:
            raise StackError(
                f"{crash.program} exited during its start ({crash.how}), and the stack was stopped. "
                f"Its log is {crash.log} and ends with:\n{last_lines(crash.log)}"
            )

    def _raise_if_given_up(self) -> None:
        lost = self.supervision.first_given_up()
        if lost is not None:
            raise StackError(
                f"{lost.program} failed to start several times and is not restarted. Run `make down`, then "
                f"`make up`. Its log is {lost.log} and ends with:\n{last_lines(lost.log)}"
            )

    def _migrate_database(self, environment: dict[str, str]) -> None:
        version = metadata.version("apache-airflow-core")
        stamp = self.paths.airflow_home / "migrated-to"
        database = self.paths.airflow_home / "airflow.db"
        if database.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == version:
            return
        self._say("Creating Airflow's database")
        log = self.paths.logs / "migrate.log"
        with log.open("wb") as file:
            migrated = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=environment,
                cwd=REPOSITORY,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        if migrated.returncode != 0:
            raise StackError(
                f"Airflow could not create its database in {database}. "
                f"The log is {log} and ends with:\n{last_lines(log)}"
            )
        stamp.write_text(version, encoding="utf-8")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Prevent two commands from starting or stopping the same stack at the same time."""
        with own_files(self.paths):
            descriptor = os.open(self.paths.state_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("Waiting for another command that is starting or stopping this stack")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _get(url: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any] | None:
    """Return the JSON response of `url`, or None if there is no response."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, timeout=seconds)
            return dict(answer.json()) if answer.ok else None
        except (requests.RequestException, ValueError):
            return None
