"""What Lambda answers."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.verify_aws.guard import PREFIX

ECHO = "def handler(event, context):\n    return [context.function_version, event]\n"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
ROLE_SECONDS = 60.0
"""How long a new role may be unknown to Lambda."""


def package(code: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py", (2026, 1, 1, 0, 0, 0)), code)
    return content.getvalue()


class Function:
    """A function of the test's own."""

    def __init__(self, client: Any, role: str, name: str) -> None:
        self.client = client
        self.role = role
        self.name = name
        self.request = {
            "FunctionName": name,
            "Role": role,
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Timeout": 60,
            "Code": {"ZipFile": package(ECHO)},
        }

    def create(self, **settings: Any) -> dict[str, Any]:
        """Create it, once Lambda knows its role."""
        deadline = time.monotonic() + ROLE_SECONDS
        while True:
            try:
                self.created: dict[str, Any] = self.client.create_function(**self.request | settings)
                return self.created
            except self.client.exceptions.InvalidParameterValueException as error:
                if "cannot be assumed" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    @property
    def arn(self) -> str:
        return self.created["FunctionArn"]

    def wait(self) -> dict[str, Any]:
        """Wait until it has been created or updated, and return its configuration."""
        while True:
            found = self.client.get_function_configuration(FunctionName=self.name)
            if found["State"] != "Pending" and found["LastUpdateStatus"] != "InProgress":
                return found
            time.sleep(0.05)

    def change(self, code: str) -> None:
        self.client.update_function_code(FunctionName=self.name, ZipFile=package(code))
        self.wait()

    def publish(self, **arguments: Any) -> str:
        return self.client.publish_version(FunctionName=self.name, **arguments)["Version"]

    def alias(self, version: str, **arguments: Any) -> dict[str, Any]:
        return self.client.create_alias(
            FunctionName=self.name, Name="live", FunctionVersion=version, **arguments
        )

    def provision(self, qualifier: str, count: int) -> dict[str, Any]:
        return self.client.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
        )

    def provisioned(self, qualifier: str) -> dict[str, Any]:
        return self.client.get_provisioned_concurrency_config(FunctionName=self.name, Qualifier=qualifier)

    def await_provisioned(self, qualifier: str) -> None:
        while self.provisioned(qualifier)["Status"] == "IN_PROGRESS":
            time.sleep(0.1)
        assert self.provisioned(qualifier)["Status"] == "READY"

    def weights(self) -> dict[str, float]:
        found = self.client.get_alias(FunctionName=self.name, Name="live")
        return found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def call(self, **arguments: Any) -> Any:
        return json.load(self.client.invoke(FunctionName=self.name, **arguments)["Payload"])

    def fail(self, code: str, **settings: Any) -> dict[str, Any]:
        """What is answered by a function with other code, which fails."""
        self.create(Code={"ZipFile": package(code)}, **settings)
        self.wait()
        answer = self.client.invoke(FunctionName=self.name)
        assert answer["FunctionError"] == "Unhandled"
        return json.load(answer["Payload"])


@pytest.fixture(scope="module")
def role(aws: Any) -> Iterator[str]:
    """A role that Lambda may assume."""
    iam = aws.client("iam")
    name = f"{PREFIX}-lambda-{time.time_ns()}"
    yield iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.delete_role(RoleName=name)


@pytest.fixture
def lambda_client(client: Callable[[str], Any]) -> Any:
    return client("lambda")


@pytest.fixture
def unmade(lambda_client: Any, role: str, unique: str) -> Iterator[Function]:
    """A function that does not exist yet; what the test makes of it is deleted."""
    yield Function(lambda_client, role, unique)
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.delete_function(FunctionName=unique)


@pytest.fixture
def function(unmade: Function) -> Function:
    """A function that can be called."""
    unmade.create()
    unmade.wait()
    return unmade


@pytest.fixture
def unknown_arn(aws: Any, unique: str) -> str:
    """The ARN that a function of the unique name would have."""
    account = aws.client("sts").get_caller_identity()["Account"]
    region = aws.client("lambda").meta.region_name
    return f"arn:aws:lambda:{region}:{account}:function:{unique}"


@pytest.mark.row("LA1")
@pytest.mark.parametrize("operation", ["get_function", "get_function_configuration", "invoke"])
@pytest.mark.parametrize("qualifier", [None, "7", "live"])
def test_an_unknown_function_is_not_found_with_its_qualifier(
    lambda_client: Any, refused: Any, unique: str, unknown_arn: str, operation: str, qualifier: str | None
) -> None:
    request = {"FunctionName": unique} | ({"Qualifier": qualifier} if qualifier else {})
    arn = f"{unknown_arn}:{qualifier}" if qualifier else unknown_arn
    with refused("ResourceNotFoundException", f"Function not found: {arn}", 404):
        getattr(lambda_client, operation)(**request)


@pytest.mark.row("LA1")
@pytest.mark.parametrize("arguments", [{}, {"Qualifier": "7"}])
def test_the_deletion_of_an_unknown_function_is_refused_without_its_qualifier(
    lambda_client: Any, refused: Any, unique: str, unknown_arn: str, arguments: dict[str, str]
) -> None:
    with refused("ResourceNotFoundException", f"Function not found: {unknown_arn}", 404):
        lambda_client.delete_function(FunctionName=unique, **arguments)


@pytest.mark.row("LA2")
def test_an_unknown_alias_is_told_by_get_and_update_in_other_words(function: Function, refused: Any) -> None:
    name = {"FunctionName": function.name, "Name": "live"}
    with refused("ResourceNotFoundException", f"Cannot find alias arn: {function.arn}:live", 404):
        function.client.get_alias(**name)
    with refused("ResourceNotFoundException", f"Alias not found: {function.arn}:live", 404):
        function.client.update_alias(**name, FunctionVersion="$LATEST")


@pytest.mark.row("LA2")
def test_an_alias_is_read_and_changed_with_200_and_made_with_201(function: Function) -> None:
    version = function.publish()
    made = function.alias(version)
    name = {"FunctionName": function.name, "Name": "live"}
    read = function.client.get_alias(**name)
    changed = function.client.update_alias(**name, Description="x", RevisionId=read["RevisionId"])
    assert [each["ResponseMetadata"]["HTTPStatusCode"] for each in (made, read, changed)] == [201, 200, 200]
    assert function.client.delete_alias(**name)["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.row("LA3")
def test_an_alias_is_not_made_twice(function: Function, refused: Any) -> None:
    function.alias("$LATEST")
    with refused("ResourceConflictException", f"Alias already exists: {function.arn}:live", 409):
        function.alias("$LATEST")


@pytest.mark.row("LA4")
def test_a_function_is_not_made_twice(function: Function, refused: Any) -> None:
    with refused("ResourceConflictException", f"Function already exist: {function.name}", 409):
        function.create()


@pytest.mark.row("LA5")
@pytest.mark.parametrize("operation", ["code", "configuration", "publish"])
def test_an_update_while_one_is_in_progress_is_refused(function: Function, operation: str) -> None:
    name, client = {"FunctionName": function.name}, function.client
    calls: dict[str, Callable[[], Any]] = {
        "code": lambda: client.update_function_code(**name, ZipFile=package(ECHO)),
        "configuration": lambda: client.update_function_configuration(**name, MemorySize=192),
        "publish": lambda: client.publish_version(**name),
    }

    def refusal() -> ClientError | None:
        """Update twice in a row; the first update may have ended before the second call arrives."""
        function.wait()
        client.update_function_configuration(**name, MemorySize=256)
        try:
            calls[operation]()
        except client.exceptions.ResourceConflictException as error:
            return error
        return None

    error = next(filter(None, (refusal() for _ in range(100))))
    assert error.response["Error"]["Message"] == (
        "The operation cannot be performed at this time. An update is in progress for resource: "
        f"{function.arn}"
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 409


@pytest.mark.row("LA5")
def test_an_update_of_a_function_that_is_being_created_is_refused(
    lambda_client: Any, role: str, unique: str
) -> None:
    def refusal(name: str) -> ClientError | None:
        """Update a new function at once; it may have been created before the call arrives."""
        function = Function(lambda_client, role, name)
        function.create()
        try:
            lambda_client.update_function_configuration(FunctionName=name, MemorySize=256)
        except lambda_client.exceptions.ResourceConflictException as error:
            return error
        finally:
            lambda_client.delete_function(FunctionName=name)
        return None

    error = next(filter(None, (refusal(f"{unique}-{number}") for number in range(100))))
    assert "The operation cannot be performed at this time." in error.response["Error"]["Message"]


@pytest.mark.row("LA6")
def test_a_function_is_pending_then_active_and_its_update_in_progress_then_successful(
    unmade: Function,
) -> None:
    created = unmade.create()
    assert (created["State"], created["StateReasonCode"]) == ("Pending", "Creating")
    found = unmade.wait()
    assert (found["State"], found["LastUpdateStatus"]) == ("Active", "Successful")
    name = {"FunctionName": unmade.name}
    updated = unmade.client.update_function_configuration(**name, MemorySize=256)
    assert (updated["State"], updated["LastUpdateStatus"]) == ("Active", "InProgress")
    assert unmade.wait()["LastUpdateStatus"] == "Successful"
    version = unmade.client.publish_version(**name)
    assert (version["State"], version["LastUpdateStatus"]) == ("Active", "Successful")


@pytest.mark.row("LA7")
def test_a_role_that_lambda_does_not_know_is_refused(unmade: Function, refused: Any) -> None:
    role = f"{unmade.role}-unknown"
    with refused(
        "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
    ):
        unmade.client.create_function(**unmade.request | {"Role": role})


@pytest.mark.row("LA8")
def test_other_code_than_the_caller_means_is_not_published(function: Function, refused: Any) -> None:
    digest = function.wait()["CodeSha256"]
    with refused(
        "InvalidParameterValueException",
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({digest}). Please try again with the "
        "CodeSHA256 in $LATEST.",
    ):
        function.publish(CodeSha256="other")
    assert function.publish(CodeSha256=digest) == "1"


@pytest.mark.row("LA9")
def test_what_has_not_changed_is_not_published_again(function: Function) -> None:
    for _ in range(2):
        answer = function.client.publish_version(FunctionName=function.name)
        assert (answer["Version"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("1", 201)


@pytest.mark.row("LA10")
def test_provisioned_concurrency_that_is_not_there_is_not_found(function: Function, refused: Any) -> None:
    version = function.publish()
    with refused(
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
        404,
    ):
        function.provisioned(version)


@pytest.mark.row("LA11")
def test_provisioned_concurrency_that_is_not_there_can_be_deleted(function: Function, refused: Any) -> None:
    target = {"FunctionName": function.name, "Qualifier": function.publish()}
    answer = function.client.delete_provisioned_concurrency_config(**target)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("ResourceNotFoundException", f"Cannot find alias arn: {function.arn}:live", 404):
        function.client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="live")


@pytest.mark.row("LA12")
@pytest.mark.provisions
def test_the_latest_code_is_not_provisioned(function: Function, refused: Any) -> None:
    with refused(
        "InvalidParameterValueException",
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    ):
        function.provision("$LATEST", 1)


@pytest.mark.row("LA13")
@pytest.mark.provisions
def test_an_alias_and_its_version_are_not_both_provisioned(function: Function, refused: Any) -> None:
    version = function.publish()
    function.alias(version)
    function.provision(version, 1)
    with refused(
        "ResourceConflictException",
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
        409,
    ):
        function.provision("live", 1)
    function.await_provisioned(version)
    function.client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier=version)
    function.provision("live", 1)
    with refused("ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias", 409):
        function.provision(version, 1)


@pytest.mark.row("LA14")
@pytest.mark.provisions
def test_an_alias_with_provisioned_concurrency_serves_the_old_version_until_the_new_one_is_provisioned(
    function: Function, refused: Any, slow_import: Any
) -> None:
    function.alias(function.publish())
    function.provision("live", 1)
    function.await_provisioned("live")
    function.change(slow_import.code + ECHO)  # in an account, only the provisioning takes long: minutes
    version = function.publish()
    function.client.update_alias(
        FunctionName=function.name,
        Name="live",
        FunctionVersion=version,
        RoutingConfig={"AdditionalVersionWeights": {}},
    )
    found = function.provisioned("live")
    assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 1)
    assert function.weights() == {"1": 1.0}
    assert function.call(Qualifier="live", Payload=b'"x"') == ["1", "x"]
    with refused(
        "InvalidParameterValueException", "Alias with weights can not be used with Provisioned Concurrency"
    ):
        function.provision("live", 2)
    slow_import.finish()
    function.await_provisioned("live")
    assert function.weights() == {}
    assert function.call(Qualifier="live", Payload=b'"x"') == ["2", "x"]
    function.provision("live", 2)


@pytest.mark.row("LA14")
@pytest.mark.provisions
def test_weights_that_a_failed_initialization_leaves_refuse_the_next_move_until_they_are_cleared(
    function: Function, refused: Any
) -> None:
    name = {"FunctionName": function.name, "Name": "live"}
    function.alias(function.publish())
    function.provision("live", 1)
    function.await_provisioned("live")
    function.change("import nowhere\n")
    function.client.update_alias(**name, FunctionVersion=function.publish())
    while (found := function.provisioned("live"))["Status"] == "IN_PROGRESS":
        time.sleep(0.1)
    assert (found["Status"], found["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert function.weights() == {"1": 1.0}
    assert function.call(Qualifier="live", Payload=b'"x"') == ["1", "x"]
    function.change(ECHO + "# mended\n")
    version = function.publish()
    with refused("InvalidParameterValueException", "Invalid alias configuration for Provisioned Concurrency"):
        function.client.update_alias(**name, FunctionVersion=version)
    function.client.update_alias(**name, RoutingConfig={"AdditionalVersionWeights": {}})
    assert function.weights() == {}
    function.client.update_alias(**name, FunctionVersion=version)
    function.await_provisioned("live")
    assert function.call(Qualifier="live", Payload=b'"x"') == ["3", "x"]


@pytest.mark.row("LA14")
@pytest.mark.provisions
def test_an_alias_with_weights_is_not_provisioned(function: Function, refused: Any) -> None:
    function.publish()
    function.change(ECHO + "# changed\n")
    function.alias(function.publish(), RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}})
    with refused(
        "InvalidParameterValueException", "Alias with weights can not be used with Provisioned Concurrency"
    ):
        function.provision("live", 1)


@pytest.mark.row("LA15")
@pytest.mark.provisions
def test_provisioned_concurrency_may_change_while_it_is_in_progress(function: Function) -> None:
    version = function.publish()
    for count in (1, 2):
        answer = function.provision(version, count)
        assert answer["Status"] == "IN_PROGRESS"
        assert answer["RequestedProvisionedConcurrentExecutions"] == count
    assert function.provisioned(version)["RequestedProvisionedConcurrentExecutions"] == 2


@pytest.mark.row("LA16")
@pytest.mark.provisions
def test_less_than_is_provisioned_is_not_reserved(function: Function, refused: Any) -> None:
    function.provision(function.publish(), 2)
    reserve = function.client.put_function_concurrency
    with refused(
        "InvalidParameterValueException",
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].",
    ):
        reserve(FunctionName=function.name, ReservedConcurrentExecutions=1)
    reserve(FunctionName=function.name, ReservedConcurrentExecutions=2)


@pytest.mark.row("LA17")
@pytest.mark.provisions
def test_more_than_is_reserved_is_not_provisioned(function: Function, refused: Any) -> None:
    version = function.publish()
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    with refused(
        "InvalidParameterValueException",
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function",
    ):
        function.provision(version, 2)
    function.provision(version, 1)


@pytest.mark.row("LA18")
@pytest.mark.never_on_aws("if AWS did not refuse it, it would take all of the account's concurrency")
def test_more_than_the_account_has_is_neither_reserved_nor_provisioned(
    function: Function, refused: Any
) -> None:
    limit = function.client.get_account_settings()["AccountLimit"]
    unreserved = limit["UnreservedConcurrentExecutions"]
    assert limit["ConcurrentExecutions"] >= unreserved
    version = function.publish()
    with refused(
        "InvalidParameterValueException",
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
        "its minimum value of [",
    ):
        function.client.put_function_concurrency(
            FunctionName=function.name, ReservedConcurrentExecutions=unreserved
        )
    with refused(
        "InvalidParameterValueException",
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
        f"[{unreserved}].",
    ):
        function.provision(version, unreserved + 1)
    with refused(
        "InvalidParameterValueException",
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [",
    ):
        function.provision(version, unreserved)


@pytest.mark.row("LA19")
def test_a_function_url_that_is_not_there_is_not_found(function: Function, refused: Any) -> None:
    for operation, arguments in (
        ("get_function_url_config", {}),
        ("update_function_url_config", {"AuthType": "AWS_IAM"}),
        ("delete_function_url_config", {}),
    ):
        with refused("ResourceNotFoundException", "The resource you requested does not exist.", 404):
            getattr(function.client, operation)(FunctionName=function.name, **arguments)


@pytest.mark.row("LA19")
def test_a_function_url_is_made_once_and_of_a_function_that_exists(
    function: Function, refused: Any, unknown_arn: str
) -> None:
    create = function.client.create_function_url_config
    with refused("ResourceNotFoundException", "Function does not exist", 404):
        create(FunctionName=f"{function.name}-unknown", AuthType="AWS_IAM")
    create(FunctionName=function.name, AuthType="AWS_IAM")
    with refused(
        "ResourceConflictException",
        f"Failed to create function url config for [functionArn = {unknown_arn}]. Error message:  FunctionUrlConfig "
        "exists for this Lambda function",
        409,
    ):
        create(FunctionName=function.name, AuthType="AWS_IAM")


@pytest.mark.row("LA21")
def test_a_call_above_the_reservation_is_throttled(function: Function, refused: Any) -> None:
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    with refused("TooManyRequestsException", "Rate Exceeded.", 429) as caught:
        function.call()
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


@pytest.mark.row("LA22")
def test_an_exception_is_answered_with_its_type_text_and_stack(unmade: Function) -> None:
    error = unmade.fail("def handler(event, context):\n    raise KeyError('color')\n")
    assert error.keys() == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'color'")
    assert error["stackTrace"][0].startswith('  File "/var/task/app.py", line 2, in handler\n')


@pytest.mark.row("LA22")
def test_a_timeout_and_an_exit_are_answered_without_a_stack(unmade: Function) -> None:
    error = unmade.fail("import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=1)
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].startswith("RequestId: ")
    assert error["errorMessage"].endswith(" Error: Task timed out after 1.00 seconds")


@pytest.mark.row("LA22")
def test_an_exit_is_an_error_of_the_runtime(unmade: Function) -> None:
    error = unmade.fail("import os\ndef handler(event, context):\n    os._exit(1)\n")
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].startswith("RequestId: ")
    assert error["errorMessage"].endswith(" Error: Runtime exited with error: exit status 1")


@pytest.mark.row("LA23")
def test_a_version_that_an_alias_names_is_not_deleted(function: Function, refused: Any) -> None:
    version = function.publish()
    function.alias(version)
    with refused("ResourceConflictException", "Unable to delete version", 409):
        function.client.delete_function(FunctionName=function.name, Qualifier=version)


@pytest.mark.row("LA24")
def test_a_version_is_not_tagged(function: Function, refused: Any) -> None:
    version = function.publish()
    with refused(
        "InvalidParameterValueException",
        "Tags on function aliases and versions are not supported. Please specify a function ARN.",
    ):
        function.client.tag_resource(Resource=f"{function.arn}:{version}", Tags={"a": "b"})
    function.client.tag_resource(Resource=function.arn, Tags={"a": "b"})


@pytest.mark.row("LA25")
def test_a_statement_id_is_used_once_for_each_qualifier(function: Function, refused: Any) -> None:
    version = function.publish()
    statement = {
        "FunctionName": function.name,
        "StatementId": "s3",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    function.client.add_permission(**statement)
    with refused(
        "ResourceConflictException",
        "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing "
        "statement.",
        409,
    ):
        function.client.add_permission(**statement)
    with refused("ResourceNotFoundException", "The resource you requested does not exist.", 404):
        function.client.get_policy(FunctionName=function.name, Qualifier=version)
    function.client.add_permission(**statement, Qualifier=version)
    for arguments, arn in (({}, function.arn), ({"Qualifier": version}, f"{function.arn}:{version}")):
        policy = function.client.get_policy(FunctionName=function.name, **arguments)["Policy"]
        assert [each["Resource"] for each in json.loads(policy)["Statement"]] == [arn]
    function.client.remove_permission(FunctionName=function.name, StatementId="s3", Qualifier=version)
    function.client.get_policy(FunctionName=function.name)


@pytest.mark.row("LA26")
def test_a_runtime_that_is_out_of_support_is_refused(unmade: Function, refused: Any) -> None:
    with refused("InvalidParameterValueException", "python3.7 is no longer supported for creating"):
        unmade.create(Runtime="python3.7")


@pytest.mark.row("LA1")
def test_the_versions_of_an_unknown_function_are_not_found(
    lambda_client: Any, refused: Any, unique: str, unknown_arn: str
) -> None:
    with refused("ResourceNotFoundException", f"Function not found: {unknown_arn}", 404):
        lambda_client.list_versions_by_function(FunctionName=unique)


@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint"),
        ({"Code": {}}, "InvalidParameterValueException", "Please provide a source for function code."),
        (
            {"Code": {"ZipFile": b"no zip"}},
            "InvalidParameterValueException",
            "Could not unzip uploaded file.",
        ),
    ],
)
def test_what_cannot_run_is_not_made(
    unmade: Function, refused: Any, settings: dict[str, Any], code: str, text: str
) -> None:
    with refused(code, text):
        unmade.create(**settings)


def test_what_cannot_run_is_no_update(function: Function, refused: Any) -> None:
    with refused("InvalidParameterValueException", "Could not unzip uploaded file."):
        function.client.update_function_code(FunctionName=function.name, ZipFile=b"no zip")
    with refused("ValidationException", "less than or equal to 900"):
        function.client.update_function_configuration(FunctionName=function.name, Timeout=1000)


@pytest.mark.row("LA9")
def test_a_version_is_published_after_each_update_even_to_the_same_code(function: Function) -> None:
    first = function.publish()
    function.client.update_function_code(FunctionName=function.name, ZipFile=package(ECHO), DryRun=True)
    assert function.publish() == first
    function.change(ECHO)
    second = function.publish()
    assert int(second) == int(first) + 1
    assert function.publish() == second


def test_the_latest_version_is_not_deleted_alone(function: Function, refused: Any) -> None:
    with refused(
        "InvalidParameterValueException", "$LATEST version cannot be deleted without deleting the function"
    ):
        function.client.delete_function(FunctionName=function.name, Qualifier="$LATEST")
    assert function.call(Payload=b"1") == ["$LATEST", 1]


def test_an_event_above_1_mb_is_not_queued(function: Function, refused: Any) -> None:
    event = json.dumps("x" * 1024 * 1024).encode()
    with refused("RequestEntityTooLargeException", "too large for the Event invocation type", 413):
        function.client.invoke(FunctionName=function.name, InvocationType="Event", Payload=event)


def test_max_memory_used_is_that_of_the_function(unmade: Function) -> None:
    unmade.create(MemorySize=512)
    unmade.wait()
    answer = unmade.client.invoke(FunctionName=unmade.name, LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    used = int(log.partition("Max Memory Used: ")[2].partition(" MB")[0])
    assert 1 < used < 100
