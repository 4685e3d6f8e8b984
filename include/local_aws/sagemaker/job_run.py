"""Runs the processes of one job until they end, are stopped or run out of time."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

from botocore.exceptions import ClientError

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.log_streams import LogStream
from include.local_aws.processes import ChildProcesses

CONTAINER_ROOT = "/opt/ml"

_POLL_SECONDS = 0.1
_PEER_GRACE_SECONDS = 5.0
_AWS_GRACE_SECONDS = 120.0
"""From the request to stop a job until SIGKILL, in AWS's seconds."""
_MESSAGE_CHARACTERS = 1024


class JobFailed(Exception):
    """A job cannot succeed; the message is its failure reason."""


class ShutDown(Exception):
    """The server is ending, so nothing about the job matters any more."""


class Outcome(Enum):
    """Why a job's processes are no longer running."""

    ENDED = "ended"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    MAX_RUNTIME_EXCEEDED = "max runtime exceeded"


class JobRun:
    """The processes of one job, one for each instance; of a spot job, those of one attempt after the other.

    seconds is how long processes have run, over all attempts.
    """

    def __init__(
        self, config: Config, children: ChildProcesses, log_group: str, *, receives_sigterm: bool
    ) -> None:
        """:param receives_sigterm: whether SIGTERM to the container's first process reaches the job's code"""
        self._config = config
        self._children = children
        self._log_group = log_group
        self._receives_sigterm = receives_sigterm
        self._stop = threading.Event()
        self._interrupted = threading.Event()
        self.seconds = 0.0
        self._processes: list[subprocess.Popen[str]] = []
        self._streams: list[LogStream] = []

    def stop(self) -> None:
        """Ask the job to end; :meth:`wait` does it."""
        self._stop.set()

    def interrupt(self) -> None:
        """Take the job's instances away; :meth:`wait` does it."""
        self._interrupted.set()

    def renew(self) -> None:
        """Forget the processes that have ended, so that the job can be started again."""
        self._processes, self._streams = [], []
        self._interrupted.clear()

    @property
    def stop_requested(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stop.is_set()

    @property
    def exit_codes(self) -> list[int]:
        """The exit status of each process, after :meth:`wait`."""
        return [process.returncode for process in self._processes]

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_stream: str,
        on_line: Callable[[str], None] | None = None,
        notes: Sequence[str] = (),
    ) -> "subprocess.Popen[str]":
        """Start the process of one instance; its lines go to a log stream, after the notes, and to on_line.

        :raises OSError: when the command cannot be started
        """
        stream = LogStream(self._config, self._log_group, log_stream)
        for note in notes:
            stream.write(note)

        def take(line: str) -> None:
            stream.write(line)
            if on_line is not None:
                on_line(line)

        self._streams.append(stream)
        process = self._children.start(command, env=env, cwd=cwd, on_line=take)
        self._processes.append(process)
        return process

    def wait(self, max_runtime_seconds: float) -> Outcome:
        """Wait for the processes: until all have ended, one has failed, they are to be stopped, or time is up.

        Those that still run then get SIGTERM, where it reaches them, and SIGKILL after a grace.

        :raises ShutDown: when the server ended them
        """
        started = time.monotonic()
        deadline = started + max_runtime_seconds
        outcome = Outcome.ENDED
        # What is told nothing only trains on, so that nobody has to wait for it in real time.
        grace = (
            self._config.stop_grace_seconds
            if self._receives_sigterm
            else self._config.lasts(_AWS_GRACE_SECONDS)
        )
        while any(process.poll() is None for process in self._processes):
            if self._stop.wait(_POLL_SECONDS):
                outcome = Outcome.STOPPED
                break
            if self._interrupted.is_set():
                outcome = Outcome.INTERRUPTED
                break
            if time.monotonic() > deadline:
                outcome = Outcome.MAX_RUNTIME_EXCEEDED
                break
            if any(process.poll() for process in self._processes):
                grace = _PEER_GRACE_SECONDS
                break
        if self._processes:
            with ThreadPoolExecutor(len(self._processes)) as pool:
                list(pool.map(lambda process: self._end(process, grace), self._processes))
        self.seconds += time.monotonic() - started
        if self._children.closed:
            raise ShutDown
        for stream in self._streams:
            stream.flush()
        return outcome

    def _end(self, process: "subprocess.Popen[str]", grace_seconds: float) -> None:
        self._children.stop(process, grace_seconds, sends_sigterm=self._receives_sigterm)


def download_input(config: Config, uri: str, folder: Path) -> None:
    """Copy a job's input from S3.

    :raises JobFailed: when there is none, or it cannot be read
    """
    try:
        count = object_store.download(config, uri, folder)
    except (ClientError, ValueError) as error:
        raise JobFailed(f"ClientError: Data download failed: {uri}: {error}") from error
    if not count:
        raise JobFailed(
            f"ClientError: Data download failed: No S3 objects found under S3 URL {uri}. Please ensure "
            "that the bucket exists, and that an S3 object exists for the given prefix."
        )


def in_folder(text: str, folder: Path, root: str = CONTAINER_ROOT) -> str:
    """Return a command, argument or variable with the container's /opt/ml replaced by a job's folder.

    :param root: a path that is replaced in place of /opt/ml
    """
    return re.sub(rf"(?<![\w./-]){root}(?![\w.-])", str(folder), text)


def container_path(path: str, folder: Path) -> Path:
    """Return where a container's path lies in a job's folder.

    :raises AwsError: when it is not below /opt/ml
    """
    below = Path(path)
    if not below.is_relative_to(CONTAINER_ROOT) or ".." in below.parts:
        raise AwsError("ValidationException", f"LocalPath {path} must lie below {CONTAINER_ROOT}.")
    return folder / below.relative_to(CONTAINER_ROOT)


def message(path: Path) -> str:
    """Return what a job's code wrote to a message file, as much of it as Describe shows."""
    return path.read_text(errors="replace").strip()[:_MESSAGE_CHARACTERS] if path.is_file() else ""
