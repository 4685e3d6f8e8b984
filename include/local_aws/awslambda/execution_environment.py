"""One execution environment: a process with a function's code imported, which takes one event at a time."""

import json
import threading
import time
import uuid
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from subprocess import Popen
from typing import Any

from include.local_aws.awslambda import worker
from include.local_aws.awslambda.moto_functions import Function
from include.local_aws.awslambda.package import unpack
from include.local_aws.config import Config
from include.local_aws.log_streams import LogStream
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses

INIT_SECONDS = 60.0
"""AWS gives the import 10 seconds; a laptop that trains a model at the same time needs more."""

MAX_PAYLOAD_BYTES = 6_291_556
_OUTPUT_SECONDS = 2.0
_INHERITED = {"PATH", "PYTHONUNBUFFERED", "LD_LIBRARY_PATH", "NO_PROXY", "no_proxy"}


@dataclass(frozen=True)
class Outcome:
    """What came of one event: the answer's JSON, whether it is an error, and the lines logged for it."""

    payload: bytes
    failed: bool
    log: str


class ExecutionEnvironment:
    """Starts with :meth:`start`, then answers by :meth:`invoke` until :meth:`end`; one thread at a time."""

    def __init__(
        self, function: Function, config: Config, children: ChildProcesses, *, provisioned: bool
    ) -> None:
        self.function = function
        self.alive = True
        """False once no further event can be given to it."""
        self.provisioned = provisioned
        self._config = config
        self._children = children
        self._mark = uuid.uuid4().hex
        self._lines: list[str] = []
        self._output_complete = threading.Event()
        self._ending = threading.Lock()
        self._init_error: bytes | None = None
        self._init_milliseconds: float | None = None
        self._channel: Connection
        self._process: Popen[str]
        self._log: LogStream

    @property
    def initialized(self) -> bool:
        """Whether the handler was imported."""
        return self.alive and self._init_error is None

    def start(self) -> None:
        """Start the process and wait until it has imported the handler, or failed to.

        A failed import is not raised here but answered to the next event, as AWS does.

        :raises AwsError: if the function's zip can't be unpacked
        """
        started = time.monotonic()
        function = self.function
        digest = function.code_sha256.replace("/", "_").replace("+", "-").rstrip("=")
        root = self._config.state_dir / "lambda" / function.name / digest
        unpack(function.code, root)
        today = time.strftime("%Y/%m/%d", time.gmtime())
        self._log = LogStream(
            self._config, f"/aws/lambda/{function.name}", f"{today}/[{function.version}]{uuid.uuid4().hex}"
        )
        self._channel, theirs = Pipe()
        with theirs:
            self._process = self._children.start(
                [self._config.python, "-P", str(Path(worker.__file__)), str(theirs.fileno()), self._mark],
                env=self._environment(root),
                cwd=root,
                on_line=self._on_line,
                newline="\n",
                pass_fds=[theirs.fileno()],
            )
        failed, body, _ = self._receive(INIT_SECONDS, request_id=str(uuid.uuid4()))
        if failed:
            self._init_error = body
        if not self.provisioned:
            self._init_milliseconds = (time.monotonic() - started) * 1000

    def invoke(self, event: bytes, *, request_id: str, function_arn: str) -> Outcome:
        """Have the function answer one event (JSON); a timeout or an exit ends the environment."""
        if self._init_error is None:  # else Lambda imports again for this event, and logs it here
            self._lines = []
        self._write(f"START RequestId: {request_id} Version: {self.function.version}")
        timeout = self.function.timeout_seconds
        started = time.monotonic()
        if self._init_error is not None:
            failed, body, memory = True, self._with_request_id(self._init_error, request_id), 0
            self.end()
        else:
            header = {
                "request_id": request_id,
                "function_arn": function_arn,
                "deadline": time.time() + timeout,
            }
            self._output_complete.clear()
            self._send(json.dumps(header).encode(), event)
            failed, body, memory = self._receive(timeout, request_id=request_id)
        milliseconds = (time.monotonic() - started) * 1000
        if len(body) > MAX_PAYLOAD_BYTES:
            # AWS's runtime client ends where its answer is refused, so the next event starts another environment.
            self._write(
                f"[ERROR] [{int(time.time() * 1000)}] LAMBDA_RUNTIME Failed to post handler success response. "
                "Http response code: 413."
            )
            self.end()
            failed, body = (
                True,
                _error(
                    "Function.ResponseSizeTooLarge",
                    "Response payload size exceeded maximum allowed payload size "
                    f"({MAX_PAYLOAD_BYTES} bytes).",
                ),
            )
        self._write(f"END RequestId: {request_id}")
        self._write(self._report(request_id, milliseconds, memory))
        return Outcome(body, failed, "\n".join(self._lines) + "\n")

    def end(self) -> None:
        """End the process and whatever it started; a thread that waits for an answer may do so at the same time."""
        self.alive = False
        with self._ending:  # closed twice at once, the channel's number may already be that of another file
            if hasattr(self, "_process"):
                self._children.stop(self._process, grace_seconds=0.5)
                self._channel.close()

    def _environment(self, root: Path) -> dict[str, str]:
        function = self.function
        # Only what Lambda sets as well: what else this server was started with must not reach a function.
        base = {
            name: value
            for name, value in self._config.child_environment(Principal.FUNCTION).items()
            if name.startswith("AWS_") or name in _INHERITED
        }
        return {
            **base,
            **dict(function.variables),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "_HANDLER": function.handler,
            "LAMBDA_TASK_ROOT": str(root),
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": (
                "provisioned-concurrency" if self.provisioned else "on-demand"
            ),
            "AWS_LAMBDA_LOG_GROUP_NAME": self._log.group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log.stream,
        }

    def _send(self, header: bytes, event: bytes) -> None:
        try:
            self._channel.send_bytes(header)
            self._channel.send_bytes(event)
        except OSError:
            return  # the process has died meanwhile; reading finds that out and says why

    def _receive(self, seconds: float, *, request_id: str) -> tuple[bool, bytes, int]:
        """Whether it failed, the answer's JSON, and the memory used so far in bytes."""
        try:
            if not self._channel.poll(seconds):
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                message = f"Task timed out after {seconds:.2f} seconds"
                self.end()
                self._write(f"{now} {request_id} {message}")
                return True, _error("Sandbox.Timedout", f"RequestId: {request_id} Error: {message}"), 0
            header: dict[str, Any] = json.loads(self._channel.recv_bytes())
            body = self._channel.recv_bytes()
        except (EOFError, OSError):
            return True, _error("Runtime.ExitError", self._exit_message(request_id)), 0
        # A process that the function left behind may hold the output open; the answer doesn't wait for it.
        self._output_complete.wait(_OUTPUT_SECONDS)
        return header["failed"], body, header["max_memory_bytes"]

    def _exit_message(self, request_id: str) -> str:
        status = self._children.wait(self._process, _OUTPUT_SECONDS)
        self.end()
        if not status:
            reason = "Runtime exited without providing a reason"
        elif status > 0:
            reason = f"Runtime exited with error: exit status {status}"
        else:
            reason = f"Runtime exited with error: signal: {-status}"
        message = f"RequestId: {request_id} Error: {reason}"
        self._write(message)
        return message

    def _with_request_id(self, error: bytes, request_id: str) -> bytes:
        return json.dumps({**json.loads(error), "requestId": request_id}).encode()

    def _report(self, request_id: str, milliseconds: float, memory: int) -> str:
        parts = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {int(milliseconds) + 1} ms",
            f"Memory Size: {self.function.memory_mb} MB",
            f"Max Memory Used: {memory // 1024 // 1024} MB",
        ]
        if self._init_milliseconds is not None:
            parts.append(f"Init Duration: {self._init_milliseconds:.2f} ms")
            self._init_milliseconds = None
        return "\t".join(parts)

    def _on_line(self, line: str) -> None:
        complete = line.endswith(self._mark)
        line = line.removesuffix(self._mark)
        if line or not complete:
            self._write(line)
        if complete:
            self._output_complete.set()

    def _write(self, line: str) -> None:
        self._lines.append(line)
        self._log.write(line)


def _error(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()
