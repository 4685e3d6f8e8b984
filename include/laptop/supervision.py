"""Keep a stack's processes running under supervisord, and stop all of them."""

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
from include.laptop.stack_paths import REPOSITORY, StackPaths

# A scheduler with running tasks would wait for their end.
STOP_SECONDS = 10
LAST_LINES = 15
# The messages in supervisord's log for a program that exited by itself. supervisord restarts it in either case.
GIVEN_UP = re.compile(r"gave up: (?P<program>[\w-]+) entered FATAL state")
CRASH = re.compile(r"WARN exited: (?P<program>[\w-]+) \((?P<how>[^;]*); not expected\)")
SPAWNED = re.compile(r"spawned: '(?P<program>[\w-]+)' with pid (?P<pid>\d+)")


@dataclass(frozen=True)
class Crash:
    """A program that exited unexpectedly."""

    program: str
    how: str
    log: Path


@dataclass(frozen=True)
class Component:
    """A program of the stack.

    :param state: running, suspended (by a signal), restarting, or given up (after too many failed starts).
    :param since: When its process started; None if it has no process.
    """

    name: str
    state: Literal["running", "suspended", "restarting", "given up"]
    since: datetime | None
    log: Path


def programs(paths: StackPaths) -> dict[str, list[str]]:
    """Return the command of every component, by name."""
    python = str(Path(sys.prefix) / "bin" / "python")
    aws = ["--port", str(paths.aws_port), "--state-dir", str(paths.aws_dir)]
    airflow = [python, "-m", "airflow"]
    return {
        "local-aws": [python, "-m", "include.local_aws", *aws],
        "api-server": [*airflow, "api-server"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }


class Supervision:
    """The supervisord of one stack, which keeps `commands` running."""

    def __init__(self, paths: StackPaths, commands: Mapping[str, Sequence[str]]) -> None:
        self.paths = paths
        self.commands = commands
        self.pid_file = paths.state_dir / "supervisord.pid"
        self.log = paths.logs / "supervisord.log"

    def start(self, environment: Mapping[str, str]) -> None:
        """Start all commands in the background, with exactly this environment."""
        self.log.unlink(missing_ok=True)
        configuration = self.paths.state_dir / "supervisord.conf"
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
        """Return supervisord's configuration. It contains no secrets, which are inherited."""
        sections = [
            "[supervisord]",
            f"pidfile={_escaped(self.pid_file)}",
            f"logfile={_escaped(self.log)}",
            f"childlogdir={_escaped(self.paths.logs)}",
            "logfile_maxbytes=10MB",
            "logfile_backups=1",
            "",
            # One group, so that all programs receive the stop signal at the same time.
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
                # supervisord expands this option twice.
                f"stdout_logfile={_escaped(_escaped(self.program_log(name)))}",
                "stdout_logfile_maxbytes=10MB",
                "stdout_logfile_backups=2",
            ]
        return "\n".join(sections) + "\n"

    def program_log(self, name: str) -> Path:
        """Return the file with the output of a program."""
        return self.paths.logs / f"{name}.log"

    def is_running(self) -> bool:
        """Return whether this stack's supervisord is running."""
        return self._supervisord() is not None

    def components(self) -> list[Component]:
        """Return each program of a running stack with the state of its process."""
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
        """Return the first program that exited unexpectedly since the start."""
        found = self._in_log(CRASH)
        return Crash(found["program"], found["how"], self.program_log(found["program"])) if found else None

    def first_given_up(self) -> Crash | None:
        """Return the first program that is no longer restarted after too many failed starts."""
        found = self._in_log(GIVEN_UP)
        return Crash(found["program"], "given up", self.program_log(found["program"])) if found else None

    def stop(self) -> int:
        """Stop all processes of the stack; return their number."""
        processes = self.processes()
        supervisord = self._supervisord()
        if supervisord is not None:
            supervisord.terminate()
            _wait([supervisord], STOP_SECONDS + 5)
        # The marker identifies processes that have left their process group or lost their supervisord.
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = self.processes()
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _wait(left, 5)
        self.pid_file.unlink(missing_ok=True)
        return len(processes)

    def processes(self) -> list[psutil.Process]:
        """Return the running processes of this stack, regardless of their parent."""
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
                process.environ().get(MARKER) == str(self.paths.state_dir)
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):  # ended, or owned by another user
            return False


def last_lines(log: Path) -> str:
    """Return the end of a log, indented; empty if the log does not exist."""
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")  # supervisord expands %(name)s


def _wait(processes: list[psutil.Process], seconds: float) -> None:
    # psutil.wait_procs treats a zombie that its parent does not reap as alive.
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(_is_alive(process) for process in processes):
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
