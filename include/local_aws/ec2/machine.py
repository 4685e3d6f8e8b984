"""What stands for one instance: a folder of its own, and the processes that live and end with it."""

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from include.local_aws.config import Config
from include.local_aws.ec2 import guest
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses

CONSOLE_BYTES = 64 * 1024
"""How much GetConsoleOutput shows."""

_GUEST_COMMANDS = ("shutdown", "poweroff", "halt", "reboot", "sudo")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INHERITED = (
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("PYTHONUNBUFFERED", "OMP_WAIT_POLICY", "NO_PROXY", "no_proxy"),
)
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Halted(Exception):
    """The machine does not run, so nothing can be started on it."""


class Machine:
    """One instance's folder, console and processes; its folder survives a stop, as its root volume does."""

    def __init__(self, config: Config, children: ChildProcesses, instance_id: str) -> None:
        self.instance_id = instance_id
        self.folder = config.state_dir / "ec2" / instance_id
        self._config = config
        self._children = children
        self._lock = threading.Lock()
        self._wanted = False
        self._up_since: float | None = None
        self._console: IO[str] | None = None
        self._console_text = b""

    @property
    def home(self) -> Path:
        """The folder in which its commands start."""
        return self.folder / "home"

    @property
    def up_since(self) -> float | None:
        """Since when commands can be started on it, on the monotonic clock; None where they cannot."""
        return self._up_since

    def switch_on(self) -> None:
        """Note that it is to run; :meth:`boot` has it run, unless it is switched off meanwhile."""
        self._wanted = True

    def boot(self) -> bool:
        """Make its folder, if there is none yet, and let commands be started; returns whether they can be."""
        with self._lock:
            if not self._wanted:
                return False
            for name in ("home", "tmp", "bin"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            for name in _GUEST_COMMANDS:
                self._write_guest_command(name)
            self._console = (self.folder / "console.log").open("a", buffering=1)
            self._up_since = time.monotonic()
            return True

    def switch_off(self) -> None:
        """Let nothing more be started; :meth:`halt` ends what runs."""
        with self._lock:
            self._wanted = False
            self._up_since = None

    def start(
        self,
        command: Sequence[str],
        *,
        credentials: bool,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        on_error_line: Callable[[str], None] | None = None,
        **environment: str,
    ) -> "subprocess.Popen[str]":
        """Start a command in its home or another folder, with AWS credentials or without.

        :raises Halted: when it does not run
        :raises OSError: when the command cannot be started
        """
        with self._lock:
            if self._up_since is None:
                raise Halted(f"{self.instance_id} is not running.")
            return self._children.start(
                command,
                env=self._environment(credentials=credentials) | environment,
                cwd=cwd or self.home,
                on_line=on_line,
                on_error_line=on_error_line,
                family=self.instance_id,
            )

    def wait(self, process: "subprocess.Popen[str]", timeout: float | None = None) -> int | None:
        """Wait as :meth:`ChildProcesses.wait` does."""
        return self._children.wait(process, timeout)

    def kill(self, process: "subprocess.Popen[str]") -> None:
        """End a command and all it started at once."""
        self._children.stop(process, 0.0)

    def run_user_data(self, user_data: bytes, *, credentials: bool) -> None:
        """Run a script as on first boot; what it prints goes to the console."""
        if not user_data:
            return
        if not user_data.startswith(b"#!"):
            self.write_console("Local AWS runs user data that is a script, beginning with #!, only.")
            return
        script = self.folder / "user-data"
        script.write_bytes(user_data)
        script.chmod(0o700)
        try:
            process = self.start([str(script)], credentials=credentials, on_line=self.write_console)
        except Halted:
            return
        except OSError as error:
            self.write_console(f"The user data cannot be started: {error.strerror}.")
            return
        status = self.wait(process)
        if self._up_since is not None:
            self.write_console(f"The user data ended with status {status}.")

    def write_console(self, line: str) -> None:
        """Add a line to the console."""
        console = self._console
        if console is not None and not console.closed:
            console.write(line + "\n")

    def console_output(self) -> bytes:
        """Return the end of what was written to the console, of this or an earlier run."""
        path = self.folder / "console.log"
        try:
            return path.read_bytes()[-CONSOLE_BYTES:]
        except FileNotFoundError:
            return self._console_text

    def halt(self) -> None:
        """End all its processes: in order within the server's grace, else by force."""
        self._children.stop_family(self.instance_id, self._config.stop_grace_seconds)
        if self._console is not None:
            self._console.close()

    def remove(self) -> None:
        """Remove its folder; the end of its console stays known."""
        self._console_text = self.console_output()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self, *, credentials: bool) -> dict[str, str]:
        """Return the environment of a command: nothing in it is of whoever started the server."""
        environment = {
            name: value
            for name, value in self._config.child_environment(Principal.INSTANCE).items()
            if name in _INHERITED or (name.startswith("AWS_") and (credentials or name not in _CREDENTIALS))
        }
        path = [str(self.folder / "bin"), str(self._config.bin_dir), _SYSTEM_PATH]
        return environment | {
            "PATH": os.pathsep.join(path),
            "HOME": str(self.home),
            "TMPDIR": str(self.folder / "tmp"),
            # All instances share the virtual environment of this server.
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def _write_guest_command(self, name: str) -> None:
        words = [self._config.python, "-I", guest.__file__, self._config.url, self.instance_id, name]
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o700)
