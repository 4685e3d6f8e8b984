"""The stack on a laptop: local AWS and Airflow's four components, brought up healthy and taken down whole."""

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
from include.laptop.places import (
    DEFAULT_AIRFLOW_PORT,
    DEFAULT_AWS_PORT,
    DEFAULT_STATE_DIR,
    REPOSITORY,
    Places,
)
from include.laptop.supervision import Supervision, last_lines, programs

HEALTHY_WITHIN_SECONDS = 180
ANSWER_SECONDS = 5
POLL_SECONDS = 0.2
AIRFLOW_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class Stack:
    """One stack, known by its state folder.

        stack = Stack(Path("/tmp/mine"), airflow_port=8090, aws_port=5570)
        stack.up()
        stack.api().trigger("sample.train_and_deploy", {})
        stack.down()

    When it is running already, the ports are those it was started with.
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
        self.places = Places(state_dir.resolve(), airflow_port, aws_port)
        self.supervision = Supervision(self.places, programs(self.places))
        if self.supervision.is_running():
            self.places = self.places.with_remembered_ports()
        self._say = say
        self._differences = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder), **(extra_environment or {})}

    def api(self) -> AirflowApi:
        """Return Airflow's REST API, as its administrator."""
        return AirflowApi(self.places.airflow_url, ADMIN, passwords(self.places.passwords_file)[ADMIN])

    def up(self) -> bool:
        """Bring the stack up, and say what had to be mended; return False when it was up already.

        :raises StackError: if it can't be brought up.
        """
        with own_files(self.places):
            self.places.make()
        check_disk(self.places)
        with self._alone():
            if self.supervision.is_running():
                self._wait_until_healthy()
                return False
            left = self.supervision.stop()  # what a killed supervisord has left
            if left:
                self._say(f"Stopped {left} processes that an earlier stack had left running")
            check_ports(self.places)
            with own_files(self.places):
                passwords(self.places.passwords_file)
                environment = stack_environment(self.places, keys(self.places.keys_file), os.environ)
                environment |= self._differences
                self._migrate_database(environment)
                self.places.remember_ports()
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
        """End every process of this stack; return how many there were."""
        if not self.places.state_dir.exists():
            return 0
        with self._alone():
            return self.supervision.stop()

    def is_changing(self) -> bool:
        """Return whether another command is starting or stopping this stack."""
        try:
            descriptor = os.open(self.places.state_dir, os.O_RDONLY | os.O_DIRECTORY)
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
        """Return "healthy" or what else is known, for local AWS and for each component of Airflow."""
        aws = _get(f"{self.places.aws_url}/_local_aws/health")
        health = {"local AWS": "healthy" if aws and aws.get("status") == "ok" else "no answer"}
        airflow = _get(f"{self.places.airflow_url}/api/v2/monitor/health")
        for component in AIRFLOW_COMPONENTS:
            state = (airflow or {}).get(component)
            health[component.replace("_", " ")] = (state["status"] or "unknown") if state else "no answer"
        return health

    def _wait_until_healthy(self, started_at: datetime | None = None) -> None:
        """Wait for all components; given `started_at`, for ones that started since, and lived through it."""
        until = time.monotonic() + HEALTHY_WITHIN_SECONDS
        aws_is_ready = forgot = False
        while not (aws_is_ready and self._airflow_is_ready(started_at)):
            if not aws_is_ready and _get(f"{self.places.aws_url}/_local_aws/health"):
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
                    f"The logs are in {self.places.logs}. `make down` stops the stack."
                )
            time.sleep(POLL_SECONDS)
        # Made on the first call, which otherwise is the first task's and keeps it waiting up to 30 s.
        _get(f"{self.places.airflow_url}/execution/health", seconds=60)
        if forgot:
            self._say(
                "Local AWS ended and was started again without what it had in memory. Its bucket and roles were made "
                "again; new runs have to make data sets, models and endpoints again"
            )
            self._end_runs_of_an_earlier_life(datetime.now(UTC))

    def _airflow_is_ready(self, started_at: datetime | None) -> bool:
        health = _get(f"{self.places.airflow_url}/api/v2/monitor/health")
        if health is None or any(
            (health.get(component) or {}).get("status") != "healthy" for component in AIRFLOW_COMPONENTS
        ):
            return False
        # The heartbeat of a component that was stopped seconds ago still counts as healthy.
        return started_at is None or all(
            datetime.fromisoformat(health[component][f"latest_{component}_heartbeat"]) >= started_at
            for component in AIRFLOW_COMPONENTS
            if component != "metadatabase"
        )

    def _end_runs_of_an_earlier_life(self, started_at: datetime) -> None:
        # Local AWS keeps its state in memory: what such a run has made there is gone, and it can only fail.
        api = self.api()
        for run in api.unfinished_runs():
            if run.queued_at is None or run.queued_at < started_at:
                api.fail_run(
                    run, note="Local AWS was stopped while this run was going on, and forgot all it had."
                )
                self._say(f"Marked {run.run_id} of {run.dag_id} as failed: the last stop interrupted it")

    def _deploy_infrastructure(self) -> bool:
        """Bring the CloudFormation stack up to date; return whether there was none."""
        from include.laptop.infrastructure import deploy  # boto3: half a second

        return deploy(self.places.aws_url) == "created"

    def _raise_if_crashed(self) -> None:
        crash = self.supervision.first_crash()
        if crash is not None:
            raise StackError(
                f"{crash.program} ended while it started ({crash.how}), and the stack was stopped. "
                f"Its log is {crash.log} and ends with:\n{last_lines(crash.log)}"
            )

    def _raise_if_given_up(self) -> None:
        lost = self.supervision.first_given_up()
        if lost is not None:
            raise StackError(
                f"{lost.program} failed to start several times and is not started again. Run `make down`, then "
                f"`make up`. Its log is {lost.log} and ends with:\n{last_lines(lost.log)}"
            )

    def _migrate_database(self, environment: dict[str, str]) -> None:
        version = metadata.version("apache-airflow-core")
        stamp = self.places.airflow_home / "migrated-to"
        database = self.places.airflow_home / "airflow.db"
        if database.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == version:
            return
        self._say("Creating Airflow's database")
        log = self.places.logs / "migrate.log"
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
        """Keep two commands from starting or stopping the same stack at once."""
        with own_files(self.places):
            descriptor = os.open(self.places.state_dir, os.O_RDONLY | os.O_DIRECTORY)
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
    """Return the JSON that `url` answers, or None when it does not."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, timeout=seconds)
            return dict(answer.json()) if answer.ok else None
        except (requests.RequestException, ValueError):
            return None
