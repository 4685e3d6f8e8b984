"""Functions called through local AWS as a user would call them, with boto3."""

import base64
import datetime
import io
import json
import re
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from include.local_aws.awslambda import url_requests
from include.local_aws.awslambda.execution_environment import MAX_PAYLOAD_BYTES
from tests.include.lambda_function import shipped

REPOSITORY = Path(__file__).parents[3]
Eventually = Callable[..., Any]

ECHO = """
import os
COLD = True
def handler(event, context):
    global COLD
    was_cold, COLD = COLD, False
    return {"event": event, "pid": os.getpid(), "cold": was_cold, "version": context.function_version}
"""

# Returns once as many files as the event says are in the folder that it names; each call makes one.
MEET = """
import os, pathlib, time
def handler(event, context):
    folder = pathlib.Path(event["folder"])
    (folder / context.aws_request_id).touch()
    while len(list(folder.iterdir())) < event["count"]:
        time.sleep(0.05)
    return {"pid": os.getpid(), "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
"""


def package(code: str, name: str = "app.py") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, code)
    return content.getvalue()


class Function:
    """A function in the running local AWS."""

    def __init__(self, client: Any, role: str, code: str, **settings: Any) -> None:
        self.client = client
        self.name = f"function-{uuid.uuid4().hex[:8]}"
        self.arn: str = client.create_function(
            FunctionName=self.name,
            Role=role,
            Code={"ZipFile": package(code)},
            # Lambda's own default of 3 seconds is short for a busy machine.
            **{"Runtime": "python3.11", "Handler": "app.handler", "Timeout": 300, **settings},
        )["FunctionArn"]
        while client.get_function_configuration(FunctionName=self.name)["State"] == "Pending":
            time.sleep(0.05)

    def invoke(self, event: Any = None, **settings: Any) -> dict[str, Any]:
        """The response, with its payload read."""
        if event is not None:
            settings["Payload"] = json.dumps(event)
        response = self.client.invoke(FunctionName=self.name, **settings)
        response["Payload"] = response["Payload"].read()
        return response

    def call(self, event: Any = None, **settings: Any) -> Any:
        """What the handler returned."""
        response = self.invoke(event, **settings)
        assert "FunctionError" not in response, response["Payload"]
        return json.loads(response["Payload"])

    def call_at_once(self, count: int, folder: Path, **settings: Any) -> list[Any]:
        """What MEET returned to as many calls, each of which ran while all of them did."""
        event = {"folder": str(folder), "count": count}
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.call(event, **settings), range(count)))

    def fail(self, event: Any = None, **settings: Any) -> dict[str, Any]:
        """The error it answered."""
        response = self.invoke(event, **settings)
        assert response["FunctionError"] == "Unhandled"
        return json.loads(response["Payload"])

    def update(self, code: str) -> None:
        """Change the code, and wait until that is done."""
        self.client.update_function_code(FunctionName=self.name, ZipFile=package(code))
        while self.update_status() == "InProgress":
            time.sleep(0.1)

    def update_status(self) -> str:
        return self.client.get_function_configuration(FunctionName=self.name)["LastUpdateStatus"]

    def publish(self) -> str:
        return self.client.publish_version(FunctionName=self.name)["Version"]

    def alias(self, version: str) -> None:
        self.client.create_alias(FunctionName=self.name, Name="live", FunctionVersion=version)

    def move(self, version: str) -> None:
        self.client.update_alias(
            FunctionName=self.name,
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},
        )

    def weights(self) -> dict[str, float]:
        alias = self.client.get_alias(FunctionName=self.name, Name="live")
        return alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def provision(self, count: int, qualifier: str = "live") -> dict[str, Any]:
        return self.client.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
        )

    def provisioned(self, qualifier: str = "live") -> dict[str, Any]:
        return self.client.get_provisioned_concurrency_config(FunctionName=self.name, Qualifier=qualifier)


@pytest.fixture(scope="module")
def role(local_aws: Any) -> str:
    role = local_aws.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument="{}")
    return role["Role"]["Arn"]


@pytest.fixture
def create(local_aws: Any, role: str) -> Iterator[Callable[..., Function]]:
    """Creates functions, and deletes them after the test."""
    client, functions = local_aws.client("lambda"), []

    def create_function(code: str, **settings: Any) -> Function:
        functions.append(Function(client, role, code, **settings))
        return functions[-1]

    yield create_function
    for function in functions:
        try:
            client.delete_function(FunctionName=function.name)
        except client.exceptions.ResourceNotFoundException:
            continue


@pytest.fixture
def pids(local_aws: Any) -> Callable[[], set[int]]:
    """The processes of execution environments that run now."""
    return lambda: {child.pid for child in local_aws.children("worker.py")}


class TestInvoke:
    def test_the_functions_own_code_answers(self, create: Callable[..., Function]) -> None:
        response = create(ECHO).invoke({"a": [1, "ä"]})
        assert json.loads(response["Payload"])["event"] == {"a": [1, "ä"]}
        assert response["StatusCode"] == 200
        assert response["ExecutedVersion"] == "$LATEST"
        assert "FunctionError" not in response

    def test_no_payload_is_an_empty_event(self, create: Callable[..., Function]) -> None:
        assert create(ECHO).call()["event"] == {}

    def test_a_warm_environment_is_used_again(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        first, second = function.call({}), function.call({})
        assert (first["cold"], second["cold"]) == (True, False)
        assert first["pid"] == second["pid"]

    def test_calls_at_the_same_time_get_an_environment_each(
        self, create: Callable[..., Function], tmp_path: Path
    ) -> None:
        answers = create(MEET).call_at_once(3, tmp_path)
        assert len({answer["pid"] for answer in answers}) == 3

    def test_a_function_is_found_by_its_arn(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        response = function.client.invoke(FunctionName=function.arn)
        assert response["StatusCode"] == 200

    def test_an_unknown_function_is_not_found(self, local_aws: Any) -> None:
        client = local_aws.client("lambda")
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="Function not found: arn:aws"):
            client.invoke(FunctionName="nobody")

    @pytest.mark.parametrize("payload", [b"{", b"[" * 10_000 + b"]" * 10_000], ids=["half", "nested deeply"])
    def test_a_payload_that_is_not_json_is_refused(
        self, create: Callable[..., Function], payload: bytes
    ) -> None:
        function = create(ECHO)
        with pytest.raises(function.client.exceptions.InvalidRequestContentException):
            function.client.invoke(FunctionName=function.name, Payload=payload)

    def test_the_largest_event_is_taken_and_one_byte_more_is_refused(
        self, create: Callable[..., Function]
    ) -> None:
        function = create("def handler(event, context): return len(event)")
        assert function.call("x" * (MAX_PAYLOAD_BYTES - 2)) == MAX_PAYLOAD_BYTES - 2
        with pytest.raises(function.client.exceptions.RequestTooLargeException) as refused:
            function.call("x" * (MAX_PAYLOAD_BYTES - 1))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413

    def test_a_dry_run_runs_nothing(
        self, create: Callable[..., Function], pids: Callable[[], set[int]]
    ) -> None:
        before = pids()
        assert create(ECHO).invoke({}, InvocationType="DryRun")["StatusCode"] == 204
        assert pids() <= before

    def test_an_event_is_accepted_at_once_and_run_afterwards(
        self, create: Callable[..., Function], tmp_path: Path, eventually: Eventually
    ) -> None:
        function = create("def handler(event, context):\n    open(event, 'w').write('ran')\n")
        done = tmp_path / "done"
        assert function.invoke(str(done), InvocationType="Event")["StatusCode"] == 202
        assert eventually(lambda: done.exists() and done.read_text() == "ran")

    def test_a_zip_that_leads_out_of_its_folder_is_refused(
        self, create: Callable[..., Function], local_aws: Any
    ) -> None:
        function = create(ECHO)
        function.client.update_function_code(
            FunctionName=function.name, ZipFile=package("x = 1", "../../escaped.py")
        )
        with pytest.raises(function.client.exceptions.InvalidZipFileException, match="escaped"):
            function.invoke({})
        assert list(local_aws.state_dir.rglob("escaped.py")) == []


class TestSurroundings:
    def test_the_environment_is_lambdas_and_the_functions_own(
        self, create: Callable[..., Function], local_aws: Any
    ) -> None:
        code = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
        function = create(code, Environment={"Variables": {"COLOR": "blue"}}, MemorySize=256)
        found = function.call()
        assert found["COLOR"] == "blue"
        assert found["AWS_LAMBDA_FUNCTION_NAME"] == function.name
        assert found["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
        assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
        assert found["AWS_REGION"] == "us-east-1"
        assert found["AWS_ENDPOINT_URL"] == local_aws.url
        assert Path(found["LAMBDA_TASK_ROOT"], "app.py").is_file()

    def test_nothing_of_the_servers_environment_or_path_is_seen(
        self, create: Callable[..., Function]
    ) -> None:
        code = "import os, sys\ndef handler(event, context):\n    return [list(os.environ), sys.path]\n"
        names, path = create(code).call()
        assert "HOME" not in names
        assert "PYTHONPATH" not in names
        assert not {str(REPOSITORY), ""} & set(path)
        assert not any("awslambda" in folder for folder in path)

    def test_the_function_reaches_local_aws(self, create: Callable[..., Function], local_aws: Any) -> None:
        local_aws.client("s3").create_bucket(Bucket="seen-from-lambda")
        code = """
import boto3
s3 = boto3.client("s3")
def handler(event, context):
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
"""
        assert "seen-from-lambda" in create(code).call()

    def test_the_context_tells_of_function_and_request(self, create: Callable[..., Function]) -> None:
        code = """
import time
def handler(event, context):
    ends = context.get_remaining_time_in_millis() / 1000 + time.time()
    return {name: getattr(context, name) for name in event} | {"ends": ends}
"""
        function = create(code, Timeout=70)
        names = ["function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb"]
        begun = time.time()
        found = function.call([*names, "aws_request_id", "log_group_name", "log_stream_name"])
        assert found["function_name"] == function.name
        assert found["function_version"] == "$LATEST"
        assert found["invoked_function_arn"] == function.arn
        assert found["memory_limit_in_mb"] == "128"
        assert uuid.UUID(found["aws_request_id"])
        assert found["log_group_name"] == f"/aws/lambda/{function.name}"
        # It is reported in whole milliseconds.
        assert begun + 70 - 0.001 <= found["ends"] <= time.time() + 70


class TestErrors:
    def test_an_exception_is_answered_with_its_type_message_and_stack(
        self, create: Callable[..., Function]
    ) -> None:
        error = create("def handler(event, context):\n    raise KeyError('color')\n").fail()
        assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'color'")
        [frame] = error["stackTrace"]
        assert frame.startswith('  File "/var/task/app.py", line 2, in handler')
        assert "raise KeyError('color')" in frame
        assert "^" not in frame

    def test_an_environment_outlives_an_exception(self, create: Callable[..., Function]) -> None:
        function = create("import os\ndef handler(event, context):\n    raise ValueError(os.getpid())\n")
        assert function.fail()["errorMessage"] == function.fail()["errorMessage"]

    def test_a_timeout_kills_the_environment(
        self, create: Callable[..., Function], pids: Callable[[], set[int]]
    ) -> None:
        before = pids()
        code = "import threading\ndef handler(event, context):\n    threading.Event().wait()\n"
        error = create(code, Timeout=1).fail()
        assert error["errorType"] == "Sandbox.Timedout"
        assert re.fullmatch(
            r"RequestId: [0-9a-f-]{36} Error: Task timed out after 1\.00 seconds",
            error["errorMessage"],
        )
        assert pids() <= before

    @pytest.mark.parametrize(
        ("statement", "reason"),
        [
            pytest.param("sys.exit(0)", "Runtime exited without providing a reason", id="exit 0"),
            pytest.param("sys.exit(3)", "Runtime exited with error: exit status 3", id="exit 3"),
            pytest.param("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: 9", id="killed"),
        ],
    )
    def test_an_exit_is_an_error_of_the_runtime(
        self, create: Callable[..., Function], statement: str, reason: str
    ) -> None:
        error = create(f"import os, sys\ndef handler(event, context):\n    {statement}\n").fail()
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith(f" Error: {reason}")

    @pytest.mark.parametrize(
        ("code", "error_type", "message"),
        [
            pytest.param(
                "import nowhere",
                "Runtime.ImportModuleError",
                "Unable to import module 'app': No module named 'nowhere'",
                id="import",
            ),
            pytest.param(
                "def other(): ...",
                "Runtime.HandlerNotFound",
                "Handler 'handler' missing on module 'app'",
                id="no handler",
            ),
            pytest.param("def handler(", "Runtime.UserCodeSyntaxError", "Syntax error in", id="syntax"),
            pytest.param("raise OSError('no model')", "OSError", "no model", id="exception"),
            pytest.param("import sys; sys.exit(2)", "Runtime.ExitError", "RequestId: ", id="exit"),
        ],
    )
    def test_code_that_cannot_be_imported_says_why(
        self, create: Callable[..., Function], code: str, error_type: str, message: str
    ) -> None:
        error = create(code).fail()
        assert error["errorType"] == error_type
        assert error["errorMessage"].startswith(message)

    def test_an_answer_that_is_not_json_is_an_error(self, create: Callable[..., Function]) -> None:
        assert create("def handler(e, c):\n    return {1, 2}\n").fail()["errorType"] == "Runtime.MarshalError"

    def test_an_answer_above_six_megabytes_is_an_error_and_ends_the_environment(
        self, create: Callable[..., Function]
    ) -> None:
        function = create("import os\ndef handler(e, c):\n    return 'x' * e.get('size', 0) or os.getpid()\n")
        first = function.call()
        response = function.invoke({"size": 6_300_000}, LogType="Tail")
        assert json.loads(response["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"
        log = base64.b64decode(response["LogResult"]).decode()
        assert "LAMBDA_RUNTIME Failed to post handler success response. Http response code: 413." in log
        assert function.call() != first

    def test_bytes_are_answered_as_they_are(self, create: Callable[..., Function]) -> None:
        response = create("def handler(e, c):\n    return b'\\xff\\x00'\n").invoke({})
        assert response["Payload"] == b"\xff\x00"
        assert "FunctionError" not in response

    @pytest.mark.parametrize(
        ("runtime", "payload"),
        [("python3.11", b'"\\u00e9"'), ("python3.12", '"é"'.encode())],
    )
    def test_text_outside_ascii_is_written_as_the_runtime_does(
        self, create: Callable[..., Function], runtime: str, payload: bytes
    ) -> None:
        assert (
            create("def handler(e, c):\n    return 'é'\n", Runtime=runtime).invoke({})["Payload"] == payload
        )

    def test_bytes_that_are_not_json_are_a_bad_gateway_over_http(self) -> None:
        assert url_requests.response(b"\xff\x00", failed=False).status_code == 502

    def test_half_a_character_ends_the_runtime(self, create: Callable[..., Function]) -> None:
        error = create("def handler(e, c):\n    return chr(0xD800)\n", Runtime="python3.12").fail()
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith("Runtime exited with error: exit status 1")

    def test_an_event_with_nan_is_refused(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        with pytest.raises(function.client.exceptions.InvalidRequestContentException):
            function.client.invoke(FunctionName=function.name, Payload=b"[NaN]")

    def test_a_handler_without_a_dot_is_malformed(self, create: Callable[..., Function]) -> None:
        error = create(ECHO, Handler="nodots").fail()
        assert error["errorType"] == "Runtime.MalformedHandlerName"
        assert error["errorMessage"] == (
            "Bad handler 'nodots': not enough values to unpack (expected 2, got 1)"
        )

    def test_a_syntax_error_has_file_and_line(self, create: Callable[..., Function]) -> None:
        error = create("x = 1\ndef handler(\n").fail()
        [place] = error["stackTrace"]
        assert place.startswith('  File "/var/task/app.py" Line 2\n    def handler(')

    def test_a_module_that_is_missing_has_no_stack(self, create: Callable[..., Function]) -> None:
        assert create("import nowhere").fail()["stackTrace"] == []

    def test_a_failed_import_warns_that_a_runtime_may_have_changed(
        self, create: Callable[..., Function]
    ) -> None:
        response = create("raise OSError('no model')").invoke({}, LogType="Tail")
        assert "\tLAMBDA_WARNING: Unhandled exception." in base64.b64decode(response["LogResult"]).decode()
        assert "importlib" in json.loads(response["Payload"])["stackTrace"][0]


class TestLogs:
    CODE = """
import logging
def handler(event, context):
    print("seen", event)
    logging.warning("careful")
    return context.log_stream_name
"""

    def test_the_tail_holds_what_this_call_logged(self, create: Callable[..., Function]) -> None:
        response = create(self.CODE).invoke({"a": 1}, LogType="Tail")
        lines = base64.b64decode(response["LogResult"]).decode().splitlines()
        request_id = response["ResponseMetadata"]["RequestId"]
        assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
        assert lines[1] == "seen {'a': 1}"
        assert re.fullmatch(rf"\[WARNING\]\t\S+Z\t{request_id}\tcareful", lines[2])
        assert lines[3] == f"END RequestId: {request_id}"
        assert re.match(
            rf"REPORT RequestId: {request_id}\tDuration: .* ms\t.*\tInit Duration: .* ms$", lines[4]
        )

    @pytest.mark.parametrize(
        ("end", "error_type"),
        [
            pytest.param("import nowhere", "Runtime.ImportModuleError", id="failed import"),
            pytest.param("import sys; sys.exit(2)", "Runtime.ExitError", id="exit"),
        ],
    )
    def test_the_tail_of_a_call_that_could_not_start_holds_what_the_import_logged(
        self, create: Callable[..., Function], end: str, error_type: str
    ) -> None:
        response = create(f"print('no license')\n{end}\n").invoke({}, LogType="Tail")
        assert json.loads(response["Payload"])["errorType"] == error_type
        assert "no license" in base64.b64decode(response["LogResult"]).decode().splitlines()

    def test_without_being_asked_no_tail_is_sent(self, create: Callable[..., Function]) -> None:
        assert "LogResult" not in create(self.CODE).invoke({})

    def test_cloudwatch_has_a_stream_for_each_environment(
        self, create: Callable[..., Function], local_aws: Any, eventually: Eventually
    ) -> None:
        function, logs = create(self.CODE), local_aws.client("logs")
        stream = function.call({"a": 1})

        def messages() -> list[str]:
            events = logs.get_log_events(logGroupName=f"/aws/lambda/{function.name}", logStreamName=stream)
            return [event["message"] for event in events["events"]]

        eventually(lambda: any(line.startswith("REPORT") for line in messages()))
        assert "seen {'a': 1}" in messages()
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)

    def test_a_traceback_is_logged_as_one_record(self, create: Callable[..., Function]) -> None:
        response = create("def handler(e, c):\n    raise ValueError('no')\n").invoke({}, LogType="Tail")
        log = base64.b64decode(response["LogResult"]).decode()
        assert "\n[ERROR] ValueError: no\rTraceback (most recent call last):\r\u00a0\u00a0File" in log


class TestChanges:
    def test_new_code_gets_a_new_environment_and_the_old_one_ends(
        self, create: Callable[..., Function], pids: Callable[[], set[int]], eventually: Eventually
    ) -> None:
        function = create(ECHO)
        old = function.call()["pid"]
        function.update("def handler(event, context):\n    return 'new'\n")
        assert function.call() == "new"
        eventually(lambda: old not in pids())

    def test_new_configuration_gets_a_new_environment(self, create: Callable[..., Function]) -> None:
        function = create("import os\ndef handler(event, context):\n    return os.environ.get('COLOR')\n")
        assert function.call() is None
        function.client.update_function_configuration(
            FunctionName=function.name, Environment={"Variables": {"COLOR": "red"}}
        )
        assert function.call() == "red"

    def test_a_deleted_functions_environment_ends(
        self, create: Callable[..., Function], pids: Callable[[], set[int]], eventually: Eventually
    ) -> None:
        function = create(ECHO)
        pid = function.call()["pid"]
        function.client.delete_function(FunctionName=function.name)
        eventually(lambda: pid not in pids())

    def test_updates_are_successful_for_boto3s_waiters(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.client.get_waiter("function_active_v2").wait(FunctionName=function.name)
        function.update("def handler(event, context): ...\n")
        function.client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
        configuration = function.client.get_function_configuration(FunctionName=function.name)
        assert configuration["LastUpdateStatus"] == "Successful"

    def test_an_update_that_is_only_tried_is_not_in_progress(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.client.update_function_code(
            FunctionName=function.name, ZipFile=package("x = 1"), DryRun=True
        )
        assert function.update_status() == "Successful"


class TestReservedConcurrency:
    def reserve(self, function: Function, count: int) -> None:
        function.client.put_function_concurrency(
            FunctionName=function.name, ReservedConcurrentExecutions=count
        )

    def test_a_call_beyond_it_is_throttled_whatever_its_version(
        self, create: Callable[..., Function], tmp_path: Path, eventually: Eventually
    ) -> None:
        function = create(MEET)
        version = function.publish()
        self.reserve(function, 1)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(function.call, {"folder": str(tmp_path), "count": 2})
            eventually(lambda: list(tmp_path.iterdir()))
            with pytest.raises(function.client.exceptions.TooManyRequestsException) as caught:
                function.invoke({"folder": str(tmp_path), "count": 1}, Qualifier=version)
            assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
            (tmp_path / "second").touch()  # which lets the first end
            running.result()
        function.call({"folder": str(tmp_path), "count": 1})

    def test_none_stops_the_function_until_it_is_deleted(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        self.reserve(function, 0)
        with pytest.raises(function.client.exceptions.TooManyRequestsException):
            function.invoke({})
        function.client.delete_function_concurrency(FunctionName=function.name)
        assert function.call({"a": 1})["event"] == {"a": 1}


class TestFunctionUrls:
    CODE = """
import json
def handler(event, context):
    if event["rawPath"] == "/broken":
        raise ValueError("secret")
    http = event["requestContext"]["http"]
    answer = {"method": http["method"], "query": event.get("queryStringParameters"), "body": event.get("body")}
    answer["base64"] = event["isBase64Encoded"]
    headers = {"Content-Type": "application/json", "X-Version": context.function_version}
    return {"statusCode": 418, "headers": headers, "body": json.dumps(answer)}
"""

    @pytest.fixture
    def function(self, create: Callable[..., Function]) -> Function:
        """A function with the alias live."""
        function = create(self.CODE)
        function.alias(function.publish())
        return function

    def make(self, function: Function, **members: str) -> dict[str, Any]:
        return function.client.create_function_url_config(
            FunctionName=function.name, **{"Qualifier": "live", "AuthType": "AWS_IAM", **members}
        )

    def ask(self, url: str, body: bytes | None = None, *, signed: bool = True, **headers: str) -> Any:
        """The answer to a request, signed as far as local AWS looks at it."""
        if signed:
            headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=test"
        request = urllib.request.Request(url, body, headers)
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error

    def test_a_configuration_is_made_once_read_and_deleted(self, function: Function) -> None:
        client, alias = function.client, {"FunctionName": function.name, "Qualifier": "live"}
        made = self.make(function)
        assert made["FunctionArn"] == f"{function.arn}:live"
        read = client.get_function_url_config(**alias)
        assert (read["FunctionUrl"], read["AuthType"]) == (made["FunctionUrl"], "AWS_IAM")
        with pytest.raises(client.exceptions.ResourceConflictException):
            self.make(function)
        listed = client.list_function_url_configs(FunctionName=function.name)["FunctionUrlConfigs"]
        assert [each["FunctionUrl"] for each in listed] == [made["FunctionUrl"]]
        client.delete_function_url_config(**alias)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_function_url_config(**alias)

    def test_a_request_reaches_the_alias_and_its_answer_comes_back(self, function: Function) -> None:
        url = self.make(function)["FunctionUrl"]
        answer = self.ask(f"{url}birds?a=1&a=2", b"{}", **{"Content-Type": "application/json"})
        assert (answer.status, answer.headers["X-Version"]) == (418, "1")
        assert json.load(answer) == {"method": "POST", "query": {"a": "1,2"}, "body": "{}", "base64": False}
        image = json.load(self.ask(url, b"\xff\xd8", **{"Content-Type": "image/jpeg"}))
        assert (image["body"], image["base64"]) == ("/9g=", True)

    def test_a_request_without_a_signature_is_forbidden_unless_there_is_no_authentication(
        self, function: Function
    ) -> None:
        url = self.make(function)["FunctionUrl"]
        assert self.ask(url, signed=False).status == 403
        function.client.update_function_url_config(
            FunctionName=function.name, Qualifier="live", AuthType="NONE"
        )
        assert self.ask(url, signed=False).status == 418

    def test_a_function_that_fails_is_a_bad_gateway_without_its_reason(self, function: Function) -> None:
        answer = self.ask(f"{self.make(function)['FunctionUrl']}broken")
        assert (answer.status, json.load(answer)) == (502, {"Message": "Internal Server Error"})

    @pytest.mark.parametrize("gone", ["alias", "function"])
    def test_it_is_gone_with_its_alias_or_function(self, function: Function, gone: str) -> None:
        url = self.make(function)["FunctionUrl"]
        if gone == "alias":
            function.client.delete_alias(FunctionName=function.name, Name="live")
        else:
            function.client.delete_function(FunctionName=function.name)
        assert self.ask(url).status == 403


class TestMetrics:
    def test_calls_errors_durations_and_throttles_are_in_cloudwatch(
        self, create: Callable[..., Function], local_aws: Any, eventually: Eventually
    ) -> None:
        code = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return 1 / event\n"
        function = create(code)
        function.alias(function.publish())
        begun = time.monotonic()
        function.call(1, Qualifier="live")
        function.fail(0, Qualifier="live")
        milliseconds = (time.monotonic() - begun) * 1000
        function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
        with pytest.raises(function.client.exceptions.TooManyRequestsException):
            function.invoke(1, Qualifier="live")
        client, now = local_aws.client("cloudwatch"), datetime.datetime.now(datetime.UTC)

        def value(metric: str, statistic: str, **dimensions: str) -> float:
            points = client.get_metric_statistics(
                Namespace="AWS/Lambda",
                MetricName=metric,
                Dimensions=[{"Name": key, "Value": each} for key, each in dimensions.items()],
                StartTime=now - datetime.timedelta(minutes=5),
                EndTime=now + datetime.timedelta(minutes=5),
                Period=3600,
                Statistics=[statistic],
            )["Datapoints"]
            return sum(point[statistic] for point in points)

        alias = {"FunctionName": function.name, "Resource": f"{function.name}:live"}
        eventually(lambda: value("Throttles", "Sum", **alias) == 1)
        assert value("Invocations", "Sum", **alias) == 2
        assert value("Errors", "Sum", **alias) == 1
        assert value("ConcurrentExecutions", "Maximum", **alias) == 1
        assert (
            50
            <= value("Duration", "Minimum", **alias)
            <= value("Duration", "Maximum", **alias)
            <= milliseconds
        )

    def test_calls_beyond_provisioned_concurrency_are_counted_as_spilled_over(
        self, create: Callable[..., Function], local_aws: Any, tmp_path: Path, eventually: Eventually
    ) -> None:
        function = create(MEET)
        function.alias(function.publish())
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        function.call_at_once(2, tmp_path, Qualifier="live")
        client, now = local_aws.client("cloudwatch"), datetime.datetime.now(datetime.UTC)

        def total(metric: str) -> float:
            stat = {
                "Metric": {
                    "Namespace": "AWS/Lambda",
                    "MetricName": metric,
                    "Dimensions": [{"Name": "FunctionName", "Value": function.name}],
                },
                "Period": 3600,
                "Stat": "Sum",
            }
            [result] = client.get_metric_data(
                MetricDataQueries=[{"Id": "total", "MetricStat": stat}],
                StartTime=now - datetime.timedelta(minutes=5),
                EndTime=now + datetime.timedelta(minutes=5),
            )["MetricDataResults"]
            return sum(result["Values"])

        eventually(lambda: total("Invocations") == 2)
        assert total("ProvisionedConcurrencyInvocations") == 1
        assert total("ProvisionedConcurrencySpilloverInvocations") == 1


class TestVersionsAndAliases:
    def test_a_version_keeps_the_code_it_was_published_with(self, create: Callable[..., Function]) -> None:
        function = create("def handler(event, context):\n    return 'old'\n")
        version = function.publish()
        function.update("def handler(event, context):\n    return 'new'\n")
        response = function.invoke({}, Qualifier=version)
        assert (json.loads(response["Payload"]), response["ExecutedVersion"]) == ("old", version)
        assert function.call() == "new"

    def test_an_alias_runs_the_version_it_points_to(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        first = function.publish()
        function.alias(first)
        function.update(ECHO + "# second\n")
        second = function.publish()
        assert function.call(Qualifier="live")["version"] == first
        function.client.update_alias(FunctionName=function.name, Name="live", FunctionVersion=second)
        assert function.call(Qualifier="live")["version"] == second

    def test_the_context_names_the_alias_that_was_called(self, create: Callable[..., Function]) -> None:
        function = create("def handler(event, context):\n    return context.invoked_function_arn\n")
        function.alias(function.publish())
        assert function.call(Qualifier="live") == f"{function.arn}:live"

    def test_an_alias_with_weights_sends_a_share_to_another_version(
        self, create: Callable[..., Function]
    ) -> None:
        function = create(ECHO)
        first = function.publish()
        function.update(ECHO + "# second\n")
        second = function.publish()
        function.alias(first)
        function.client.update_alias(
            FunctionName=function.name,
            Name="live",
            RoutingConfig={"AdditionalVersionWeights": {second: 1.0}},
        )
        assert function.call(Qualifier="live")["version"] == second

    def test_weights_split_the_calls_between_two_versions(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        function.update(ECHO + "# second\n")
        function.client.update_alias(
            FunctionName=function.name,
            Name="live",
            RoutingConfig={"AdditionalVersionWeights": {function.publish(): 0.3}},
        )
        ran = [function.invoke({}, Qualifier="live")["ExecutedVersion"] for _ in range(100)]
        assert set(ran) == {"1", "2"}
        assert 10 < ran.count("2") < 55

    def test_a_version_that_an_alias_uses_cannot_be_deleted(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        version = function.publish()
        function.alias(version)
        with pytest.raises(function.client.exceptions.ResourceConflictException, match=r"\[live\]"):
            function.client.delete_function(FunctionName=function.name, Qualifier=version)
        function.client.delete_alias(FunctionName=function.name, Name="live")
        function.client.delete_function(FunctionName=function.name, Qualifier=version)
        with pytest.raises(function.client.exceptions.ResourceNotFoundException):
            function.invoke({}, Qualifier=version)

    def test_a_deleted_alias_is_not_found(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        assert function.client.get_alias(FunctionName=function.name, Name="live")["FunctionVersion"] == "1"
        function.client.delete_alias(FunctionName=function.name, Name="live")
        with pytest.raises(function.client.exceptions.ResourceNotFoundException):
            function.client.get_alias(FunctionName=function.name, Name="live")
        with pytest.raises(function.client.exceptions.ResourceNotFoundException):
            function.invoke({}, Qualifier="live")


class TestProvisionedConcurrency:
    def test_it_is_in_progress_and_then_ready(
        self, create: Callable[..., Function], pids: Callable[[], set[int]], eventually: Eventually
    ) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        before = pids()
        answer = function.provision(2)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert answer["Status"] == "IN_PROGRESS"
        eventually(lambda: function.provisioned()["Status"] == "READY")
        assert function.provisioned()["AvailableProvisionedConcurrentExecutions"] == 2
        assert len(pids() - before) == 2

    def test_ready_means_the_handler_is_imported_and_the_first_call_uses_that(
        self, create: Callable[..., Function], tmp_path: Path, eventually: Eventually
    ) -> None:
        imports = tmp_path / "imports"
        function = create(f"import os\nopen({str(imports)!r}, 'a').write(f'{{os.getpid()}} ')\n" + ECHO)
        function.alias(function.publish())
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        [imported] = imports.read_text().split()
        assert function.call(Qualifier="live")["pid"] == int(imported)
        assert imports.read_text().split() == [imported]

    def test_more_calls_than_provisioned_run_on_demand(
        self, create: Callable[..., Function], tmp_path: Path, eventually: Eventually
    ) -> None:
        function = create(MEET)
        function.alias(function.publish())
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        answers = function.call_at_once(2, tmp_path, Qualifier="live")
        assert sorted(answer["kind"] for answer in answers) == ["on-demand", "provisioned-concurrency"]

    def test_it_follows_its_alias_to_another_version_and_the_one_before_answers_meanwhile(
        self,
        create: Callable[..., Function],
        pids: Callable[[], set[int]],
        eventually: Eventually,
        slow_import: Any,
    ) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        old = function.call(Qualifier="live")["pid"]
        function.update(slow_import.code + ECHO)
        function.move(function.publish())
        answer = function.call(Qualifier="live")
        assert (answer["version"], answer["pid"]) == ("1", old)
        slow_import.finish()
        eventually(lambda: function.provisioned()["Status"] == "READY")
        assert function.call(Qualifier="live")["version"] == "2"
        eventually(lambda: old not in pids())

    def test_an_alias_that_goes_back_while_it_moves_has_no_weights(
        self, create: Callable[..., Function], eventually: Eventually, slow_import: Any
    ) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        function.update(slow_import.code + ECHO)
        function.move(function.publish())
        assert function.weights() == {"1": 1.0}
        function.move("1")
        assert function.weights() == {}
        assert function.provisioned()["Status"] == "READY"

    def test_an_alias_without_it_moves_at_once(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        function.update(ECHO + "# second\n")
        function.move(function.publish())
        assert function.weights() == {}
        assert function.call(Qualifier="live")["version"] == "2"

    def test_an_environment_that_died_is_replaced(
        self, create: Callable[..., Function], pids: Callable[[], set[int]], eventually: Eventually
    ) -> None:
        function = create("import os\ndef handler(event, context):\n    os._exit(1) if event else None\n")
        function.alias(function.publish())
        before = pids()
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        dead = pids() - before
        function.fail({"die": True}, Qualifier="live")
        eventually(lambda: len(pids() - before - dead) == 1)

    def test_code_that_cannot_be_imported_makes_it_fail(
        self, create: Callable[..., Function], eventually: Eventually
    ) -> None:
        function = create("import nowhere")
        function.alias(function.publish())
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "FAILED")
        assert function.provisioned()["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"

    @pytest.mark.parametrize("gone", ["configuration", "alias", "function"])
    def test_its_processes_end_with_it(
        self,
        create: Callable[..., Function],
        pids: Callable[[], set[int]],
        eventually: Eventually,
        gone: str,
    ) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        before = pids()
        function.provision(1)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        [pid] = pids() - before
        if gone == "configuration":
            function.client.delete_provisioned_concurrency_config(
                FunctionName=function.name, Qualifier="live"
            )
        elif gone == "alias":
            function.client.delete_alias(FunctionName=function.name, Name="live")
        else:
            function.client.delete_function(FunctionName=function.name)
        eventually(lambda: pid not in pids())

    def test_fewer_end_what_is_too_many(
        self, create: Callable[..., Function], pids: Callable[[], set[int]], eventually: Eventually
    ) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        before = pids()
        function.provision(2)
        eventually(lambda: function.provisioned()["Status"] == "READY")
        function.provision(1)
        eventually(lambda: len(pids() - before) == 1)

    def test_all_of_a_function_are_listed(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        function.update(ECHO + "# second\n")
        function.provision(1)
        function.provision(1, function.publish())
        listed = function.client.list_provisioned_concurrency_configs(FunctionName=function.name)
        arns = [item["FunctionArn"] for item in listed["ProvisionedConcurrencyConfigs"]]
        assert arns == [f"{function.arn}:2", f"{function.arn}:live"]

    def test_the_latest_code_cannot_have_it(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        with pytest.raises(
            function.client.exceptions.InvalidParameterValueException, match="unpublished function versions"
        ):
            function.provision(1, "$LATEST")

    def test_more_than_there_is_room_for_is_refused(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        with pytest.raises(
            function.client.exceptions.InvalidParameterValueException, match="at most 32 environments"
        ):
            function.provision(40, function.publish())

    def test_where_none_is_configured_none_is_found(self, create: Callable[..., Function]) -> None:
        function = create(ECHO)
        function.alias(function.publish())
        with pytest.raises(
            function.client.exceptions.ProvisionedConcurrencyConfigNotFoundException
        ) as caught:
            function.provisioned()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_tagged_function_is_found_by_the_tagging_api(
    create: Callable[..., Function], local_aws: Any
) -> None:
    function = create(ECHO, Tags={"project": "tagged", "managed-by": "airflow"})
    function.publish()
    found = local_aws.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": ["tagged"]}]
    )
    assert [item["ResourceARN"] for item in found["ResourceTagMappingList"]] == [function.arn]


def test_the_handler_of_this_repository_runs(create: Callable[..., Function]) -> None:
    function = create(shipped.source(), Environment={"Variables": {"ENDPOINT_NAME": "nobody"}})
    assert function.call({"url": "ftp://x"})["status"] == 400
