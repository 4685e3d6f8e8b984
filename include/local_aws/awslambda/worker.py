"""Runs inside an execution environment: imports the handler once, then answers one event after another.

``python worker.py CHANNEL MARK`` is a program of its own, for the process that runs the user's function has
nothing of this repository on its path. CHANNEL is the number of an open socket; messages on it come in pairs,
a JSON header and a body. MARK is printed after each answer, so that the reader of standard output knows where
an event's output ends.

Errors, logs and JSON are those of AWS's runtime client, awslambdaric 4.2.2. A test compares the two.
"""

import importlib
import itertools
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


_NO_BREAK_SPACE = "\u00a0"
_LOG_LINE_END = "\r"
"""Ends the lines of one record; a line feed would begin another."""

_ESCAPING_RUNTIMES = ("python3.8", "python3.9", "python3.10", "python3.11")
"""Those that write characters outside ASCII as ``\\u00e9``, not as UTF-8."""

_INIT_WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare "
    "cases, a Lambda runtime update can cause unexpected function behavior. For functions using managed runtimes, "
    "runtime updates can be triggered by a function change, or can be applied automatically. To determine if the "
    "runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with "
    "a change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the "
    "previous runtime version. For more information, see "
    "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)


class Refusal(Exception):
    """An error that the runtime raises itself, in AWS's words."""

    def __init__(self, error_type: str, message: str, stack: list[str] | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.stack = stack or []


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
        logging.warning(_INIT_WARNING)
        answer(channel, mark, error=describe(error))
        sys.exit(1)
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
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as error:
        raise Refusal("Runtime.MalformedHandlerName", f"Bad handler '{name}': {error}") from None
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise Refusal("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise Refusal("Runtime.ImportModuleError", message) from None
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        place = _in_task_root(f'  File "{error.filename}" Line {error.lineno}\n    {error.text}')
        raise Refusal("Runtime.UserCodeSyntaxError", message, [place]) from None
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise Refusal("Runtime.HandlerNotFound", message) from None


def run(handler: Callable[[Any, Any], Any], event: bytes, context: Context) -> bytes:
    """The handler's answer: bytes as they are, anything else as JSON.

    :raises Refusal: if the event is not JSON, or the answer can't be written as JSON
    :raises SystemExit: if the answer has half a character, which UTF-8 can't encode; AWS's client ends, too
    """
    try:
        document = json.loads(event, parse_constant=_refuse_constant)
    except ValueError as error:
        raise Refusal("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None
    result = handler(document, context)
    if isinstance(result, bytes):
        return result
    try:
        text = to_json(result)
    except Exception as error:
        raise Refusal("Runtime.MarshalError", f"Unable to marshal response: {error}") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        traceback.print_exc()
        sys.exit(1)


def to_json(value: Any) -> str:
    """JSON as the function's runtime writes it."""
    runtime = os.environ["AWS_EXECUTION_ENV"].removeprefix("AWS_Lambda_")
    return json.dumps(value, ensure_ascii=runtime in _ESCAPING_RUNTIMES)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def describe(error: Exception, request_id: str = "") -> dict[str, Any]:
    """The error as Lambda answers it; it is printed too, as one record."""
    if isinstance(error, Refusal):
        error_type, stack = error.error_type, error.stack
    else:
        error_type, stack = type(error).__name__, user_frames(error.__traceback__)
    lines = [f"[ERROR] {error_type}: {error}" if str(error) else f"[ERROR] {error_type}"]
    lines.append("Traceback (most recent call last):")
    for frame in stack:
        for line in frame.splitlines():
            text = line.lstrip(" ")
            lines.append(_NO_BREAK_SPACE * (len(line) - len(text)) + text)
    print(_LOG_LINE_END.join(lines))
    return {
        "errorMessage": str(error),
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": stack,
    }


def user_frames(start: TracebackType | None) -> list[str]:
    """The frames of a traceback after this program's own, those of importlib included; without marks in the lines."""
    frames = itertools.dropwhile(lambda frame: frame.filename == _OWN_FILE, traceback.extract_tb(start))
    plain = [(frame.filename, frame.lineno or 0, frame.name, frame.line) for frame in frames]
    return [_in_task_root(text) for text in traceback.format_list(plain)]


def _in_task_root(text: str) -> str:
    return text.replace(os.environ["LAMBDA_TASK_ROOT"], "/var/task")


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
    channel.send_bytes(body if error is None else to_json(error).encode(errors="replace"))
    sys.stdout.flush()
    print(mark, file=sys.__stdout__, flush=True)  # where the handler may have put sys.stdout, nobody reads


if __name__ == "__main__":
    main()
