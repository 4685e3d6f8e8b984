"""Takes what a command prints: its beginning for the answers, all of it for CloudWatch Logs."""

import threading

from include.local_aws.config import Config
from include.local_aws.log_streams import LogStream

UPLOAD_SECONDS = 0.5
_EVENT_CHARACTERS = 50_000


class CommandOutput:
    """Standard output or error of one command.

    As Systems Manager's agent does, all lines since the last upload are one event, and there is a log stream
    only once there is a line.
    """

    def __init__(self, limit: int, log: tuple[Config, str, str] | None) -> None:
        """Take a text of at most limit characters; log is where the group and stream of that name are."""
        self._limit = limit
        self._log = log
        self._text = ""
        self._stream: LogStream | None = None
        self._lines: list[str] = []
        self._size = 0
        self._lock = threading.Lock()
        self._uploading = threading.Lock()

    @property
    def text(self) -> str:
        """The beginning of what was printed."""
        return self._text

    def write(self, line: str) -> None:
        """Take a line."""
        if len(self._text) < self._limit:
            self._text = f"{self._text}{line}\n"[: self._limit]
        if self._log is None:
            return
        with self._lock:
            first = not self._lines
            self._lines.append(line)
            self._size += len(line)
            is_full = self._size > _EVENT_CHARACTERS
        if is_full:
            self.flush()
        elif first:
            timer = threading.Timer(UPLOAD_SECONDS, self.flush)
            timer.daemon = True
            timer.start()

    def flush(self) -> None:
        """Upload what was taken so far."""
        with self._uploading:
            with self._lock:
                lines, self._lines, self._size = self._lines, [], 0
            if not lines or self._log is None:
                return
            if self._stream is None:
                self._stream = LogStream(*self._log)
            self._stream.write("\n".join(lines))
            self._stream.flush()
