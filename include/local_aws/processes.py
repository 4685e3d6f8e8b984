"""Starts the server's child processes and guarantees that none outlives it, however it dies."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from include.local_aws import reaper

_SHUTDOWN_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.1


@dataclass
class _Child:
    process: "subprocess.Popen[str]"
    mark: str
    on_line: Callable[[str], None] | None
    on_error_line: Callable[[str], None] | None
    kills_what_it_leaves: bool
    watch: threading.Thread = field(init=False)
    grace_until: float = 0.0


class ChildProcesses:
    """The children of one server, each the leader of its own process group.

    A reaper process kills what is left should the server die without :meth:`stop_all`, SIGKILL included.
    """

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._children: dict[int, _Child] = {}
        self._closed = False
        self._reaper = subprocess.Popen(
            [sys.executable, str(Path(reaper.__file__)), self._token],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def closed(self) -> bool:
        """Whether :meth:`stop_all` was called."""
        return self._closed

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | Path | None = None,
        on_line: Callable[[str], None] | None = None,
        on_error_line: Callable[[str], None] | None = None,
        family: str = "",
        newline: str | None = None,
        **popen_kwargs: Any,
    ) -> "subprocess.Popen[str]":
        """Start a command; each line it prints goes to on_line, in a thread.

        Lines of standard error do so too, unless there is an on_error_line for them. A line ends with newline; by
        default with a line feed, a carriage return or both. What a command leaves
        running when it ends is killed; in a family it lives on, until :meth:`stop_family`.

        :raises RuntimeError: after :meth:`stop_all`
        :raises OSError: when the command cannot be started
        """
        mark = f"{self._family_mark(family)}{uuid.uuid4().hex}"
        with self._lock:
            if self._closed:
                raise RuntimeError(f"Local AWS is shutting down, so {command[0]} was not started.")
            process = subprocess.Popen(
                command,
                env={**env, reaper.MARK: mark},
                cwd=cwd,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if on_error_line is None else subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, **popen_kwargs},
            )
            for output in (process.stdout, process.stderr):
                if newline is not None and isinstance(output, io.TextIOWrapper):
                    output.reconfigure(newline=newline)
            child = _Child(process, mark, on_line, on_error_line, kills_what_it_leaves=not family)
            self._children[process.pid] = child
            child.watch = threading.Thread(target=self._watch, args=(child,), daemon=True)
            child.watch.start()
            self._tell_reaper(f"+{process.pid}")
        return process

    def wait(self, process: "subprocess.Popen[str]", timeout: float | None = None) -> int | None:
        """Wait until a process has ended, its last line was delivered and nothing it started is left.

        :returns: its exit status (negative: the signal that ended it), or None when timeout seconds passed
        """
        with self._lock:
            child = self._children.get(process.pid)
        if child is not None:
            child.watch.join(timeout)
            if child.watch.is_alive():
                return None
        return process.returncode

    def stop(
        self, process: "subprocess.Popen[str]", grace_seconds: float, *, sends_sigterm: bool = True
    ) -> None:
        """End a process and all it started: SIGTERM to its group, then SIGKILL to what is left.

        :param sends_sigterm: if not, nothing is sent before SIGKILL, and what the process leaves has no grace.
        """
        with self._lock:
            child = self._children.get(process.pid)
        if child is None:
            return
        child.kills_what_it_leaves = True
        if sends_sigterm:
            if process.poll() is None:  # else what it left has no grace
                child.grace_until = time.monotonic() + grace_seconds
            _signal_group(process, signal.SIGTERM)
        if self.wait(process, grace_seconds) is None:
            _signal_group(process, signal.SIGKILL)
            reaper.kill_marked(child.mark)
            self.wait(process)

    def stop_family(self, family: str, grace_seconds: float) -> None:
        """End all processes of a family: SIGTERM to each, then SIGKILL to what is left.

        None may be started in the family meanwhile.
        """
        mark = self._family_mark(family)
        with self._lock:
            children = [child for child in self._children.values() if child.mark.startswith(mark)]
        deadline = time.monotonic() + grace_seconds
        asked: set[psutil.Process] = set()
        while (found := reaper.marked(mark)) and time.monotonic() < deadline:
            for process in found:
                if process not in asked:  # one may have been started while the others were asked
                    asked.add(process)
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.terminate()
            time.sleep(_POLL_SECONDS)
        reaper.kill_marked(mark)
        for child in children:
            child.watch.join()

    def stop_all(self) -> None:
        """End every child; none can be started afterwards."""
        with self._lock:
            self._closed = True
            children = list(self._children.values())
        deadline = time.monotonic() + _SHUTDOWN_GRACE_SECONDS
        for child in children:
            child.grace_until = deadline
            _signal_group(child.process, signal.SIGTERM)
        for child in children:
            child.watch.join(max(0.0, deadline - time.monotonic()))
        reaper.kill_marked(self._token)
        for child in children:
            child.watch.join()
        if self._reaper.stdin is not None:
            self._reaper.stdin.close()
        self._reaper.wait()

    def _family_mark(self, family: str) -> str:
        return f"{self._token}.{family}."

    def _watch(self, child: _Child) -> None:
        process = child.process
        pumps = [
            threading.Thread(target=_pump, args=(output, on_line), daemon=True)
            for output, on_line in ((process.stdout, child.on_line), (process.stderr, child.on_error_line))
            if output is not None
        ]
        for pump in pumps:
            pump.start()
        process.wait()
        # Of a stopped job the first to end is often a launcher; the work it launched has its grace too.
        while time.monotonic() < child.grace_until and reaper.marked(child.mark):
            time.sleep(_POLL_SECONDS)
        if child.kills_what_it_leaves:
            reaper.kill_marked(child.mark)  # what is left would also hold the output open
        for pump in pumps:
            pump.join()
        with self._lock:
            self._children.pop(process.pid, None)
            self._tell_reaper(f"-{process.pid}")

    def _tell_reaper(self, line: str) -> None:
        if self._reaper.stdin is not None and not self._reaper.stdin.closed:
            self._reaper.stdin.write(line + "\n")
            self._reaper.stdin.flush()


def _pump(output: IO[str], on_line: Callable[[str], None] | None) -> None:
    with output:
        for line in output:
            if on_line is not None:
                on_line(line.rstrip("\n"))


def _signal_group(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
