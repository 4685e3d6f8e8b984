"""Runs one command on one instance, and knows how it ended."""

import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.local_aws.config import Config
from include.local_aws.ec2.machine import Halted, Machine
from include.local_aws.ssm.command_output import CommandOutput

PLUGIN = "aws:runShellScript"

_STDOUT_CHARACTERS, _STDERR_CHARACTERS = 24_000, 8_000
_PLUGIN_OUTPUT_CHARACTERS = 2_500
_KILLED = 137
"""The code of a command that was canceled or timed out: 128 and the number of SIGKILL."""
_POLL_SECONDS = 0.1
_OPEN = ("Pending", "InProgress", "Cancelling")


@dataclass(frozen=True)
class Script:
    """What a command runs: its lines, the folder it starts in, and how many seconds it may take."""

    lines: list[str]
    folder: str
    timeout_seconds: int


class Invocation:
    """A command on one instance.

    Of a machine that is gone nobody hears anything more: as in AWS the command stays in progress, until it
    expires.
    """

    def __init__(
        self,
        config: Config,
        command_id: str,
        machine: Machine,
        script: Script,
        *,
        log_group: str | None,
        expires: float,
    ) -> None:
        self.instance_id = machine.instance_id
        self._config = config
        self._command_id = command_id
        self._machine = machine
        self._script = script
        self._expires = expires
        self._stdout = self._output("stdout", _STDOUT_CHARACTERS, log_group)
        self._stderr = self._output("stderr", _STDERR_CHARACTERS, log_group)
        self._status = self._details = "Pending"
        self._code = -1
        self._started: float | None = None
        self._ended: float | None = None
        self._canceled = threading.Event()
        self._is_lost = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to run it."""
        threading.Thread(target=self._run, daemon=True).start()

    def cancel(self) -> None:
        """End it with all its processes, unless it has ended."""
        with self._lock:
            if self.status not in _OPEN:
                return
            self._canceled.set()
            self._status = self._details = "Cancelled" if self._is_lost else "Cancelling"

    @property
    def status(self) -> str:
        """One of ``CommandInvocationStatus``."""
        return "TimedOut" if self._has_expired else self._status

    @property
    def details(self) -> str:
        """The status in more detail."""
        return "DeliveryTimedOut" if self._has_expired else self._details

    @property
    def is_open(self) -> bool:
        """Whether it has still to end."""
        return self.status in _OPEN

    def described(self) -> dict[str, Any]:
        """Return what GetCommandInvocation tells of it; what it has printed only when it has ended."""
        is_over = self._ended is not None
        return {
            "InstanceId": self.instance_id,
            "PluginName": PLUGIN,
            "ResponseCode": self._code,
            "ExecutionStartDateTime": _iso(self._started),
            "ExecutionElapsedTime": f"PT{self._ended - self._started:.3f}S"
            if self._ended is not None and self._started is not None
            else "",
            "ExecutionEndDateTime": _iso(self._ended),
            "Status": self.status,
            "StatusDetails": self.details,
            "StandardOutputContent": self._stdout.text if is_over else "",
            "StandardOutputUrl": "",
            "StandardErrorContent": self._stderr.text if is_over else "",
            "StandardErrorUrl": "",
        }

    def plugin(self) -> dict[str, Any]:
        """Return what ListCommandInvocations tells of it in detail."""
        errors = f"\n----------ERROR-------\n{self._stderr.text}" if self._stderr.text else ""
        plugin = {
            "Name": PLUGIN,
            "Status": self.status if self.status != "Cancelling" else "InProgress",
            "StatusDetails": self.details,
            "ResponseCode": self._code,
            "ResponseStartDateTime": self._started,
            "ResponseFinishDateTime": self._ended,
            "Output": (self._stdout.text + errors)[:_PLUGIN_OUTPUT_CHARACTERS] if self._ended else "",
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
        }
        return {name: value for name, value in plugin.items() if value is not None}

    @property
    def _has_expired(self) -> bool:
        return self._status in _OPEN and time.time() > self._expires

    def _output(self, name: str, limit: int, log_group: str | None) -> CommandOutput:
        stream = f"{self._command_id}/{self.instance_id}/{PLUGIN.replace(':', '-')}/{name}"
        return CommandOutput(limit, (self._config, log_group, stream) if log_group else None)

    def _run(self) -> None:
        up_since = self._machine.up_since
        with self._lock:
            if self._canceled.is_set():
                self._status = self._details = "Cancelled"
                return
            self._status = self._details = "InProgress"
            self._started = time.time()
        try:
            process = self._launch()
        except Halted:
            self._lose()
            return
        except OSError as error:
            self._stderr.write(f"failed to run commands: {error}")
            self._end("Failed", "Failed", 1)
            return
        ending = self._wait(process)
        # What ended together with its machine is not known to have ended.
        if up_since is None or self._machine.up_since != up_since:
            self._lose()
        else:
            self._end(*ending)

    def _launch(self) -> "subprocess.Popen[str]":
        folder = self._machine.folder / "ssm" / self._command_id
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "_script.sh"
        path.write_text("\n".join(self._script.lines) + "\n")
        path.chmod(0o700)
        return self._machine.start(
            ["sh", "-c", str(path)],
            credentials=True,
            cwd=Path(self._script.folder) if self._script.folder else None,
            on_line=self._stdout.write,
            on_error_line=self._stderr.write,
            AWS_SSM_INSTANCE_ID=self.instance_id,
            AWS_SSM_REGION_NAME=self._config.region,
        )

    def _wait(self, process: "subprocess.Popen[str]") -> tuple[str, str, int]:
        """Wait for the command's end, bring it about if need be, and return status, details and code."""
        deadline = time.monotonic() + self._script.timeout_seconds
        while self._machine.wait(process, _POLL_SECONDS) is None:
            if self._canceled.is_set():
                self._machine.kill(process)
                return "Cancelled", "Cancelled", _KILLED
            if time.monotonic() > deadline:
                self._machine.kill(process)
                return "TimedOut", "ExecutionTimedOut", _KILLED
        if process.returncode == 0:
            return "Success", "Success", 0
        self._stderr.write(f"failed to run commands: exit status {process.returncode}")
        return "Failed", "Failed", max(process.returncode, -1)

    def _lose(self) -> None:
        with self._lock:
            self._is_lost = True
            if self._canceled.is_set():
                self._status = self._details = "Cancelled"

    def _end(self, status: str, details: str, code: int) -> None:
        for output in (self._stdout, self._stderr):
            output.flush()
        with self._lock:
            if self._has_expired:
                return
            self._ended = time.time()
            self._code = code
            self._status, self._details = status, details


def _iso(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
