"""How a request names its operation, what its handler may answer, and the pages of lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from include.local_aws.awslambda import LambdaService
from include.local_aws.config import Config
from include.local_aws.ec2 import Machines
from include.local_aws.errors import AwsError
from include.local_aws.operations import JsonOperations, Members, page, path_operation, path_response
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import SageMaker
from include.local_aws.service_models import has_operation
from include.local_aws.service_quotas import ServiceQuotas
from include.local_aws.ssm import SSM


def request(path: str = "/", method: str = "POST", body: bytes = b"{}", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(EnvironBuilder(path, method=method, data=body, headers=named).get_environ())


def check(operation: str, members: Members) -> None:
    if "bad" in members:
        raise AwsError("ValidationException", f"{operation} has bad members.")


OPERATIONS = JsonOperations(
    "Target.", {"Add": lambda members: {"sum": members["a"] + 1}, "Of": dict.clear}, check
)


def respond(target: str, body: bytes = b"{}") -> Response | None:
    return OPERATIONS.respond(request(body=body, X_Amz_Target=target))


def test_a_handler_answers_its_operation() -> None:
    response = respond("Target.Add", b'{"a": 1}')
    assert response is not None
    assert (response.status_code, response.get_data()) == (200, b'{"sum": 2}')


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("Target.Of", id="its handler returns None"),
        pytest.param("Target.Other", id="it is not in the table"),
        pytest.param("Another.Add", id="it is of another service"),
        pytest.param("", id="it is not named"),
    ],
)
def test_an_operation_is_left_to_moto(target: str) -> None:
    assert respond(target) is None


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", "not JSON"), (b"[]", "not a JSON object"), (b'{"bad": 1}', "Add has bad members")],
)
def test_a_bad_request_does_not_reach_the_handler(body: bytes, error: str) -> None:
    with pytest.raises(AwsError, match=error):
        respond("Target.Add", body)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/2015-03-31/functions/f/aliases", ("CreateAlias", {"FunctionName": "f"})),
        ("GET", "/2015-03-31/functions/f/aliases/", ("ListAliases", {"FunctionName": "f"})),
        (
            "PUT",
            "/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:f/aliases/live",
            (
                "UpdateAlias",
                {"FunctionName": "arn:aws:lambda:eu-west-1:123456789012:function:f", "Name": "live"},
            ),
        ),
        ("GET", "/2015-02-01/file-systems", ("", {})),
        ("PATCH", "/2015-03-31/functions/f", ("", {})),
    ],
)
def test_a_method_and_a_path_name_an_operation(method: str, path: str, operation: Any) -> None:
    assert path_operation("lambda", request(path, method)) == operation


def test_the_status_of_an_answer_is_that_of_the_operation() -> None:
    created = path_response("lambda", "CreateAlias", {"Name": "live"})
    assert (created.status_code, created.json) == (201, {"Name": "live"})
    deleted = path_response("lambda", "DeleteAlias", {})
    assert (deleted.status_code, deleted.get_data()) == (204, b"")


def test_pages_have_all_items_and_the_last_has_no_token() -> None:
    items = [{"number": number} for number in range(5)]
    first = page("Items", items, {}, 2)
    second = page("Items", items, {"NextToken": first["NextToken"]}, 2)
    last = page("Items", items, {"NextToken": second["NextToken"], "MaxResults": 3}, 2)
    assert [*first["Items"], *second["Items"], *last["Items"]] == items
    assert "NextToken" not in last


def test_an_invalid_token_is_refused() -> None:
    with pytest.raises(AwsError, match="'next' is not valid") as raised:
        page("Items", [], {"NextToken": "next"}, 2, "InvalidNextToken")
    assert raised.value.code == "InvalidNextToken"


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[dict[str, set[str]]]:
    """The operations in the table of each service."""
    config, children = Config(state_dir=tmp_path), ChildProcesses()
    sagemaker, functions = SageMaker(config, children), LambdaService(config, children)
    yield {
        "sagemaker": set(sagemaker.handlers),
        "application-autoscaling": set(sagemaker.targets.operations.handlers),
        "lambda": set(functions.operations),
        "ssm": set(SSM(config, Machines(config, children)).operations.handlers),
        "service-quotas": set(ServiceQuotas(config).operations.handlers),
    }
    sagemaker.close()
    functions.close()
    children.stop_all()


def test_the_tables_name_operations_that_exist(tables: dict[str, set[str]]) -> None:
    assert all(tables.values())
    assert [
        (service, name)
        for service, names in tables.items()
        for name in names
        if not has_operation(service, name)
    ] == []
