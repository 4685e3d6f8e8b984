"""Runs inside an execution environment: imports the handler once, then answers one event after another.

``python worker.py CHANNEL MARK`` is a program of its own, for the process that runs the user's function has
nothing of this repository on its path. CHANNEL is the number of an open socket; messages on it come in pairs,
a JSON header and a body. MARK is printed after each answer, so that the reader of standard output knows where
an event's output ends.
"""

import importlib
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

_OWN_FILE = __file__


class Refusal(Exception):
    """The handler can't be imported, in AWS's words."""

    def __init__(self, error_type: str, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.cause = cause


class Context:
    """What AWS gives a handler as its second argument."""

    def __init__(self, request_id: str, function_arn: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self.invoked_function_arn = function_arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout, at least 0."""
        return max(0, int((self._deadline - time.time()) * 1000))


class LogHandler(logging.Handler):
    """Prints log records as Lambda does; the request in progress is named in each."""

    def __init__(self) -> None:
        super().__init__()
        self.request_id = ""
        formatter = logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        record.request_id = self.request_id
        print(self.format(record))


def main() -> None:
    """Answer events until the other side hangs up."""
    channel, mark = Connection(int(sys.argv[1])), sys.argv[2]
    os.set_inheritable(channel.fileno(), False)
    del sys.argv[1:]
    log = LogHandler()
    logging.getLogger().addHandler(log)
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    try:
        handler = import_handler(os.environ["_HANDLER"])
    except Exception as error:
        answer(channel, mark, error=describe(error))
        return
    answer(channel, mark, body=b"")
    while True:
        try:
            header = json.loads(channel.recv_bytes())
            event = channel.recv_bytes()
        except EOFError:
            return
        log.request_id = header["request_id"]
        context = Context(header["request_id"], header["function_arn"], header["deadline"])
        try:
            body = run(handler, event, context)
        except Exception as error:
            answer(channel, mark, error=describe(error, header["request_id"]))
        else:
            answer(channel, mark, body=body)


def import_handler(name: str) -> Callable[[Any, Any], Any]:
    """The function that ``module.function`` names.

    :raises Refusal: if there is no such module or function, or the module is not valid Python
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise Refusal("Runtime.MalformedHandlerName", f"Bad handler '{name}': it must be <module>.<function>")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise Refusal("Runtime.ImportModuleError", message, error) from None
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise Refusal("Runtime.UserCodeSyntaxError", message, error) from None
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise Refusal("Runtime.HandlerNotFound", message) from None


def run(handler: Callable[[Any, Any], Any], event: bytes, context: Context) -> bytes:
    """The handler's answer as JSON.

    :raises Refusal: if it can't be written as JSON
    """
    result = handler(json.loads(event), context)
    try:
        return json.dumps(result).encode()
    except (TypeError, ValueError) as error:
        raise Refusal("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


def describe(error: Exception, request_id: str = "") -> dict[str, Any]:
    """The error as Lambda answers it; it is printed too, as Lambda does."""
    error_type = error.error_type if isinstance(error, Refusal) else type(error).__name__
    cause = error.cause if isinstance(error, Refusal) else error
    stack = user_frames(cause.__traceback__) if cause else []
    print(f"[ERROR] {error_type}: {error}")
    if stack:
        print("Traceback (most recent call last):\n" + "".join(stack).rstrip())
    return {
        "errorMessage": str(error),
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": stack,
    }


def user_frames(start: TracebackType | None) -> list[str]:
    """The lines of a traceback that lie in the function's own code."""
    frames = traceback.extract_tb(start)
    theirs = [frame for frame in frames if frame.filename != _OWN_FILE and "importlib" not in frame.filename]
    root = os.environ["LAMBDA_TASK_ROOT"]
    return [text.replace(root, "/var/task") for text in traceback.format_list(theirs)]


def max_memory_bytes() -> int:
    """The most memory that this process has used."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux keeps ru_maxrss over exec, so that it would be at least that of the emulator, which started this process.
    with open("/proc/self/status") as status:
        [peak] = [line for line in status if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def answer(channel: Connection, mark: str, *, body: bytes = b"", error: dict[str, Any] | None = None) -> None:
    """Send an answer, then mark the end of what was printed for it."""
    header = {"failed": error is not None, "max_memory_bytes": max_memory_bytes()}
    channel.send_bytes(json.dumps(header).encode())
    channel.send_bytes(body if error is None else json.dumps(error).encode())
    sys.stdout.flush()
    print(mark, file=sys.__stdout__, flush=True)  # where the handler may have put sys.stdout, nobody reads


if __name__ == "__main__":
    main()
