"""Runs a function by AWS's runtime client and by local AWS's worker, and returns what came of it in one shape."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import IO

from include.local_aws.awslambda import worker
from include.local_aws.awslambda.execution_environment import MAX_PAYLOAD_BYTES

DEADLINE_SECONDS = 60.0
MARK = "end-of-answer"


@dataclass(frozen=True)
class Function:
    """A function's code and the events that it gets one after the other (JSON, or what is none)."""

    code: str
    events: Sequence[bytes] = (b"{}",)
    handler: str = "app.handler"
    runtime: str = "python3.12"
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What came of a function.

    :ivar answers: for each event, and for a failed start, what kind of answer was given and its body.
    :ivar status: the exit status of a process that ended by itself; None for one that waits for events.
    :ivar log: what was printed, without times.
    """

    answers: list[tuple[str, object]]
    status: int | None
    log: str


def by_aws(python: Path, function: Function) -> Result:
    """Run a function by awslambdaric, which has to be installed for this Python."""
    with tempfile.TemporaryDirectory() as folder:
        with _RuntimeApi(function.events) as api:
            environment = _environment(function, Path(folder)) | {"AWS_LAMBDA_RUNTIME_API": api.address}
            process = subprocess.Popen(
                [str(python), "-m", "awslambdaric", function.handler],
                env=environment,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            output = _Output(process.stdout)
            status = _wait(process, api.waits)
            log = output.end(process)
        return Result(
            [(kind, _document(kind, body, folder)) for kind, body in api.answers],
            status,
            _timeless(log, folder),
        )


def by_local_aws(function: Function) -> Result:
    """Run a function by local AWS's worker."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", worker.__file__, str(theirs.fileno()), MARK],
                env=_environment(function, Path(folder)) | {"_HANDLER": function.handler},
                cwd=folder,
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        output = _Output(process.stdout)
        answers: list[tuple[str, bytes]] = []
        try:
            failed, body = json.loads(ours.recv_bytes())["failed"], ours.recv_bytes()
            if failed:
                answers.append(("init error", body))
            for number, event in enumerate([] if failed else function.events):
                header = {
                    "request_id": f"request-{number}",
                    "function_arn": "arn",
                    "deadline": time.time() + 60,
                }
                ours.send_bytes(json.dumps(header).encode())
                ours.send_bytes(event)
                failed, body = json.loads(ours.recv_bytes())["failed"], ours.recv_bytes()
                answers.append(("error" if failed else "response", body))
        except EOFError:
            pass
        ended = len(answers) < len(function.events) or answers[0][0] == "init error"
        status = None
        if ended:
            status = process.wait(DEADLINE_SECONDS)
        else:
            output.wait_for(f"{MARK}\n".encode(), len(answers) + 1)  # one for the start
        log = output.end(process).replace(f"{MARK}\n", "")
        return Result(
            [(kind, _document(kind, body, folder)) for kind, body in answers], status, _timeless(log, folder)
        )


class _RuntimeApi:
    """The part of Lambda's runtime API that a function calls: it hands out events and takes answers."""

    def __init__(self, events: Sequence[bytes]) -> None:
        self.answers: list[tuple[str, bytes]] = []
        self._events = list(events)
        self._ended = threading.Event()
        self.waits = threading.Event()
        """Whether the function has answered each event, and asks for another one."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                number = len(api.answers)
                if number == len(api._events):
                    api.waits.set()
                    api._ended.wait()
                    return
                body = api._events[number]
                self.send_response(200)
                for name, value in {
                    "Lambda-Runtime-Aws-Request-Id": f"request-{number}",
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 60) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn",
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                too_large = len(body) > MAX_PAYLOAD_BYTES
                if not too_large:
                    kind = self.path.rpartition("/")[2]
                    api.answers.append(("init error" if "/init/" in self.path else kind, body))
                self.send_response(413 if too_large else 202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "_RuntimeApi":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Output:
    """What a process prints, read while it runs."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream, self._parts = stream, bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while part := self._stream.read1(65536):  # type: ignore[attr-defined]
            self._parts += part

    def wait_for(self, text: bytes, count: int) -> None:
        """Wait until a text was printed so often."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._parts.count(text) < count and time.monotonic() < deadline:
            time.sleep(0.02)

    def end(self, process: "subprocess.Popen[bytes]") -> str:
        """End the process, and return all that it printed."""
        process.kill()
        process.wait()
        self._reader.join()
        self._stream.close()
        return self._parts.decode()


def _wait(process: "subprocess.Popen[bytes]", waits: threading.Event) -> int | None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if waits.is_set():
            return None
        if process.poll() is not None:
            return process.returncode
        time.sleep(0.02)
    raise TimeoutError("The function neither answered nor ended.")


def _environment(function: Function, folder: Path) -> dict[str, str]:
    (folder / "app.py").write_text(function.code)
    return {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "NO_PROXY": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "LAMBDA_TASK_ROOT": str(folder),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        **function.variables,
    }


def _document(kind: str, body: bytes, folder: str) -> object:
    """Errors as documents, with the function's folder named as in Lambda; answers to the byte."""
    if kind == "response":
        return body
    document = json.loads(body.decode().replace(folder, "/var/task"))
    # Lambda's service sets it in what the caller gets.
    document.pop("requestId", None)
    return document


def _timeless(log: str, folder: str) -> str:
    log = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", log)
    log = re.sub(r'"milliseconds": [\d.]+', '"milliseconds": <n>', log)
    return log.replace(folder, "/var/task")
