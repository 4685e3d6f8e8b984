"""Keep a stack's processes running under supervisord, and end every one of them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from include.laptop.environment import MARKER
from include.laptop.places import REPOSITORY, Places

# A scheduler that has running tasks would wait for their end.
STOP_SECONDS = 10
LAST_LINES = 15
# What supervisord's own log says of a program that ended by itself; it restarts it either way.
GIVEN_UP = re.compile(r"gave up: (?P<program>[\w-]+) entered FATAL state")
CRASH = re.compile(r"WARN exited: (?P<program>[\w-]+) \((?P<how>[^;]*); not expected\)")
SPAWNED = re.compile(r"spawned: '(?P<program>[\w-]+)' with pid (?P<pid>\d+)")


@dataclass(frozen=True)
class Crash:
    """A program that ended though nobody asked it to."""

    program: str
    how: str
    log: Path


@dataclass(frozen=True)
class Component:
    """A program of the stack.

    :param state: running, suspended (by a signal), restarting, or given up: it failed to start too often.
    :param since: when its process started; None while there is none.
    """

    name: str
    state: Literal["running", "suspended", "restarting", "given up"]
    since: datetime | None
    log: Path


def programs(places: Places) -> dict[str, list[str]]:
    """Return the command of every component, by name."""
    python = str(Path(sys.prefix) / "bin" / "python")
    aws = ["--port", str(places.aws_port), "--state-dir", str(places.aws_dir)]
    airflow = [python, "-m", "airflow"]
    return {
        "local-aws": [python, "-m", "include.local_aws", *aws],
        "api-server": [*airflow, "api-server"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }


class Supervision:
    """The supervisord of one stack, which keeps `commands`, by name, running."""

    def __init__(self, places: Places, commands: Mapping[str, Sequence[str]]) -> None:
        self.places = places
        self.commands = commands
        self.pid_file = places.state_dir / "supervisord.pid"
        self.log = places.logs / "supervisord.log"

    def start(self, environment: Mapping[str, str]) -> None:
        """Start all commands in the background, with exactly this environment."""
        self.log.unlink(missing_ok=True)
        configuration = self.places.state_dir / "supervisord.conf"
        configuration.write_text(self.configuration(), encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env=dict(environment),
            cwd=REPOSITORY,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while not self.is_running() and time.monotonic() < until:
            time.sleep(0.02)

    def configuration(self) -> str:
        """Return supervisord's configuration. Secrets are not in it: they are inherited."""
        sections = [
            "[supervisord]",
            f"pidfile={_escaped(self.pid_file)}",
            f"logfile={_escaped(self.log)}",
            f"childlogdir={_escaped(self.places.logs)}",
            "logfile_maxbytes=10MB",
            "logfile_backups=1",
            "",
            # One group, so that all its programs are told to stop at the same time.
            "[group:stack]",
            f"programs={','.join(self.commands)}",
        ]
        for name, command in self.commands.items():
            sections += [
                "",
                f"[program:{name}]",
                f"command={_escaped(shlex.join(command))}",
                "autorestart=true",
                f"stopwaitsecs={STOP_SECONDS}",
                "stopasgroup=true",
                "killasgroup=true",
                "redirect_stderr=true",
                # This one option is expanded twice.
                f"stdout_logfile={_escaped(_escaped(self.program_log(name)))}",
                "stdout_logfile_maxbytes=10MB",
                "stdout_logfile_backups=2",
            ]
        return "\n".join(sections) + "\n"

    def program_log(self, name: str) -> Path:
        """Return the file that holds what a program prints."""
        return self.places.logs / f"{name}.log"

    def is_running(self) -> bool:
        """Tell whether this stack's supervisord is alive."""
        return self._supervisord() is not None

    def components(self) -> list[Component]:
        """Return each program of a stack that runs, and how its process is."""
        log = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        pids = {found["program"]: int(found["pid"]) for found in SPAWNED.finditer(log)}  # the last one counts
        given_up = {found["program"] for found in GIVEN_UP.finditer(log)}
        return [self._component(name, pids.get(name), name in given_up) for name in self.commands]

    def _component(self, name: str, pid: int | None, is_given_up: bool) -> Component:
        log = self.program_log(name)
        try:
            process = psutil.Process(pid) if pid else None
            if process is not None and self._is_ours(process):
                is_suspended = process.status() == psutil.STATUS_STOPPED
                since = datetime.fromtimestamp(process.create_time(), UTC)
                return Component(name, "suspended" if is_suspended else "running", since, log)
        except psutil.NoSuchProcess:
            pass
        return Component(name, "given up" if is_given_up else "restarting", None, log)

    def first_crash(self) -> Crash | None:
        """Return the first program that ended by itself since the start."""
        found = self._in_log(CRASH)
        return Crash(found["program"], found["how"], self.program_log(found["program"])) if found else None

    def first_given_up(self) -> Crash | None:
        """Return the first program that failed to start so often that it is not started again."""
        found = self._in_log(GIVEN_UP)
        return Crash(found["program"], "given up", self.program_log(found["program"])) if found else None

    def stop(self) -> int:
        """End every process of the stack; return how many there were."""
        processes = self.processes()
        supervisord = self._supervisord()
        if supervisord is not None:
            supervisord.terminate()
            _wait([supervisord], STOP_SECONDS + 5)
        # What left its process group, or lost its supervisord, is found by the marker.
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = self.processes()
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _wait(left, 5)
        self.pid_file.unlink(missing_ok=True)
        return len(processes)

    def processes(self) -> list[psutil.Process]:
        """Return the living processes of this stack, whoever their parent is."""
        own = psutil.Process()
        spared = {own.pid, *(parent.pid for parent in own.parents())}
        return [
            process
            for process in psutil.process_iter()
            if process.pid not in spared and self._is_ours(process)
        ]

    def _in_log(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if not self.log.exists():
            return None
        return pattern.search(self.log.read_text(encoding="utf-8", errors="replace"))

    def _supervisord(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int(self.pid_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if self._is_ours(process) else None

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.environ().get(MARKER) == str(self.places.state_dir)
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):  # gone, or not this user's
            return False


def last_lines(log: Path) -> str:
    """Return the end of a log, indented; empty when there is none."""
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")  # supervisord expands %(name)s


def _wait(processes: list[psutil.Process], seconds: float) -> None:
    # Not psutil.wait_procs: a zombie whose parent does not collect it counts as alive there.
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(_is_alive(process) for process in processes):
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
