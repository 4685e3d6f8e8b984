"""No event makes the function fail; see tests/include/classifier/test_fuzzing.py."""

import base64
import io
import json
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.include.classifier.fuzzing import ANY_JSON, ANY_TEXT, DOCUMENTS, HEADERS, budget
from tests.include.lambda_function.handler_module import import_handler

BODIES = DOCUMENTS.map(json.dumps)
HTTP_EVENTS = st.fixed_dictionaries(
    {
        "requestContext": ANY_JSON,
        "body": BODIES
        | BODIES.map(lambda text: base64.b64encode(text.encode()).decode())
        | st.binary(max_size=60).map(lambda content: base64.b64encode(content).decode())
        | ANY_JSON,
    },
    optional={"headers": HEADERS | ANY_JSON, "isBase64Encoded": st.booleans() | ANY_TEXT},
)


@pytest.fixture(scope="module")
def function() -> Iterator[ModuleType]:
    """The handler module as Lambda imports it, in front of an endpoint that accepts every request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENDPOINT_NAME", "dog-breeds")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        module = import_handler()
        module.runtime = SimpleNamespace(
            invoke_endpoint=lambda **_: {"Body": io.BytesIO(b'{"predictions": []}')}
        )
        yield module


@budget(0.25)
@given(event=DOCUMENTS | HTTP_EVENTS)
def test_events_are_classified_or_rejected(function: ModuleType, event: Any) -> None:
    answer = function.handler(json.loads(json.dumps(event)), SimpleNamespace(aws_request_id="1"))

    json.dumps(answer, ensure_ascii=False).encode()  # as Lambda sends it
    status = answer.get("status", answer.get("statusCode", 200))
    assert 200 <= status < 500, answer
