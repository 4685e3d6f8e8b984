"""The table of operations in docs/local-aws.md names operations that exist and that the product calls.

tests/e2e/test_killed_runs.py compares it with recorded calls.
"""

from __future__ import annotations

import re
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from include.pipeline import resource_kinds
from tests.include.local_aws.documented import KINDS, documented_operations, rows

REPOSITORY = Path(__file__).parents[3]
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in (
        *("dags", "plugins", "include/aws", "include/pipeline", "include/classifier"),
        *("include/workspace", "include/lambda_function"),
    )
    for path in (REPOSITORY / folder).rglob("*.py")
)
# What a method of boto3 or obstore calls that has another name.
BY_OTHER_NAMES = {
    "AbortMultipartUpload": "upload_fileobj",
    "CompleteMultipartUpload": "upload_fileobj",
    "CreateMultipartUpload": "upload_fileobj",
    "UploadPart": "upload_fileobj",
}
# The kinds of resources make the names of these.
LISTS = {
    f"list_{kind.operation}s"
    for kind in vars(resource_kinds).values()
    if isinstance(kind, resource_kinds.SageMakerKind)
}
BY_AWS = {
    # Local AWS writes the logs of jobs and functions with their role, as AWS does.
    *(("logs", name) for name in ("CreateLogGroup", "CreateLogStream", "PutLogEvents")),
}


def test_every_row_says_what_happens_here() -> None:
    for service, operations, here, _ in rows():
        assert here.startswith(KINDS), (service, operations)


def test_no_operation_is_listed_twice() -> None:
    listed = [operation.rstrip("°") for service, names, *_ in rows() for operation in f"{names}".split(", ")]
    assert len(listed) == len(documented_operations())


@pytest.mark.parametrize(("service", "operation"), list(documented_operations()))
def test_every_operation_exists_and_is_called(service: str, operation: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    assert operation in model.operation_names
    method = BY_OTHER_NAMES.get(operation, xform_name(operation))
    is_known = (service, operation) in BY_AWS or method in LISTS
    assert is_known or re.search(rf"\b{method}\b", CODE), method
