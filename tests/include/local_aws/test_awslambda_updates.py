"""Updates of functions while they are in progress; the server is in this process, so that the test ends them."""

import io
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from include.local_aws.awslambda import LambdaService
from include.local_aws.config import Config
from include.local_aws.gateway import Gateway
from include.local_aws.moto_patches import functions
from include.local_aws.processes import ChildProcesses

UPDATE_SECONDS = 3600.0


def package(code: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", code)
    return content.getvalue()


CODE = package("def handler(event, context):\n    return context.function_version\n")


@pytest.fixture
def function() -> dict[str, str]:
    """The function, as the operations receive it."""
    return {"FunctionName": f"function-{uuid.uuid4().hex[:8]}"}


@pytest.fixture
def client(function: dict[str, str], local_aws: Any, tmp_path: Path, restored_moto: None) -> Iterator[Any]:
    """A client of a server whose updates take an hour, with a function; its logs go to the running server."""
    children = ChildProcesses()
    port = int(local_aws.url.rpartition(":")[2])
    config = Config(state_dir=tmp_path, port=port, function_update_seconds=UPDATE_SECONDS)
    functions.apply(UPDATE_SECONDS)
    service = LambdaService(config, children)
    application = Gateway([service], DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    url = f"http://127.0.0.1:{server.server_port}"
    iam, client = (session.client(name, endpoint_url=url) for name in ("iam", "lambda"))
    role = iam.create_role(RoleName=function["FunctionName"], AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client.create_function(
        **function,
        Role=role,
        Runtime="python3.11",
        Handler="app.handler",
        Code={"ZipFile": CODE},
        Timeout=300,
    )
    yield client
    client.delete_function(**function)
    service.close()
    children.stop_all()
    server.shutdown()
    server.server_close()


@pytest.fixture
def let_updates_end(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Set forward the clock by which creation and updates end, further each time."""
    passed = [0.0]
    monkeypatch.setattr(functions, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0]))

    def forward() -> None:
        passed[0] += UPDATE_SECONDS

    return forward


@pytest.mark.parametrize("change", ["code", "configuration"])
def test_an_update_is_in_progress_for_a_moment_and_conflicts_with_others(
    client: Any, function: dict[str, str], let_updates_end: Callable[[], None], change: str
) -> None:
    updates: dict[str, Callable[[], Any]] = {
        "code": lambda: client.update_function_code(**function, ZipFile=CODE),
        "configuration": lambda: client.update_function_configuration(**function, MemorySize=256),
    }
    for call in (*updates.values(), lambda: client.invoke(**function)):
        with pytest.raises(client.exceptions.ResourceConflictException, match="state: Pending"):
            call()
    let_updates_end()
    assert updates[change]()["LastUpdateStatus"] == "InProgress"
    assert client.get_function(**function)["Configuration"]["LastUpdateStatus"] == "InProgress"
    for update in (*updates.values(), lambda: client.publish_version(**function)):
        with pytest.raises(
            client.exceptions.ResourceConflictException,
            match=f"update is in progress.*{function['FunctionName']}",
        ):
            update()
    assert client.invoke(**function)["Payload"].read() == b'"$LATEST"'
    let_updates_end()
    assert client.get_function_configuration(**function)["LastUpdateStatus"] == "Successful"
    assert client.publish_version(**function)["Version"] == "1"
