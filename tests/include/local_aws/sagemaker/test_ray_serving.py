"""A model for AWS's Ray Serve image is served as that image's adapter does it."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from include.local_aws.sagemaker import ray_serving
from tests.archives import archive
from tests.endpoints import create_endpoint
from tests.free_ports import free_port
from tests.include.local_aws.sagemaker.conftest import ROLE
from tests.include.local_aws.sagemaker.ping import wait_until_it_serves

HTTP = urllib3.PoolManager(maxsize=16)
APP = """
import asyncio, json, os, pathlib
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    given = json.loads(await request.body() or b"{}")
    if "fail" in given:
        raise RuntimeError("the model stumbled")
    while "gate" in given and not pathlib.Path(given["gate"]).exists():
        await asyncio.sleep(0.02)
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "seen", "X-Private": "hidden"}
    return JSONResponse(dict(request.headers), given.get("status", 200), headers)

def asgi():
    return Starlette(routes=[Route("/", answer, methods=["POST"])])
"""


class Server:
    """A serving process for an application."""

    def __init__(self, folder: Path, app: str, *arguments: str, **environment: str) -> None:
        (folder / "code").mkdir(exist_ok=True)
        (folder / "code" / "own_app.py").write_text(app)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-P", ray_serving.__file__, str(self.port), str(folder), *arguments],
            cwd=folder,
            env={**os.environ, "SM_RAYSERVE_APP": "own_app:app", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        wait_until_it_serves(self.url)

    def invoke(self, body: object, **headers: str) -> urllib3.BaseHTTPResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return HTTP.request(
            "POST", f"{self.url}/invocations", body=json.dumps(body), headers=sent, timeout=60
        )

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    """Run a server with one worker and a queue of two."""
    server = Server(folder, APP, "1", "2", **environment)
    try:
        server.wait()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("model")) as server:
        yield server


def test_few_headers_pass(server: Server) -> None:
    answer = server.invoke(
        {}, Content_Type="a/b", Accept="c/d", X_Amzn_SageMaker_Inference_Id="1", X_Other="2"
    )

    seen = answer.json()
    assert {name: seen.get(name) for name in ("content-type", "accept", "x-amzn-sagemaker-inference-id")} == {
        "content-type": "a/b",
        "accept": "c/d",
        "x-amzn-sagemaker-inference-id": "1",
    }
    assert not {"x-other", "user-agent", "host"} & seen.keys()
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "seen"
    assert "X-Private" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"


def test_what_has_no_content_type_is_passed_on_as_json(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/invocations", "{}")
    seen = json.loads(connection.getresponse().read())
    connection.close()

    assert (seen["content-type"], seen["accept"]) == ("application/json", "application/json")


def test_the_status_of_the_application_is_the_answers(server: Server) -> None:
    assert server.invoke({"status": 415}).status == 415


def test_an_application_that_raises_is_a_500(server: Server) -> None:
    answer = server.invoke({"fail": True})

    assert (answer.status, answer.data) == (500, b"Internal Server Error")
    assert server.invoke({}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/invocations", 405, "Method Not Allowed"),
        ("POST", "/ping", 405, "Method Not Allowed"),
        ("GET", "/models", 404, "Not Found"),
    ],
)
def test_other_methods_and_paths_are_answered_as_by_fastapi(
    method: str, path: str, status: int, detail: str, server: Server
) -> None:
    """Seen of AWS's adapter, run by hand in front of Ray."""
    answer = HTTP.request(method, f"{server.url}{path}", timeout=60)

    assert (answer.status, answer.json()) == (status, {"detail": detail})
    assert answer.headers.get("Allow") == {"/invocations": "POST", "/ping": "GET"}.get(path)


def test_what_takes_too_long_is_a_504(tmp_path: Path) -> None:
    with serving(tmp_path, RAYSERVE_BACKEND_TIMEOUT="0.1") as server:
        answer = server.invoke({"gate": str(tmp_path / "never")})

    assert (answer.status, answer.json()) == (504, {"error": "Request timeout"})


def test_what_finds_the_queue_full_is_answered_503_at_once(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.invoke, {"gate": str(gate)}) for _ in range(8)]
        deadline = time.monotonic() + 30
        while sum(answer.done() for answer in answers) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # The health check has no queue.
        assert HTTP.request("GET", f"{server.url}/ping").status == 200
        gate.touch()
        found = sorted((answer.result().status, answer.result().data) for answer in answers)
    assert [status for status, _ in found] == [200] * 3 + [503] * 5
    assert found[-1][1].startswith(b"Request dropped due to backpressure")


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("raise ImportError('this model cannot be loaded')", "this model cannot be loaded"),
        ("def asgi(): raise OSError('model.json is missing')", "model.json is missing"),
        ("app = None", "has no function asgi. Local AWS runs no Ray"),
    ],
)
def test_what_cannot_be_loaded_ends_before_it_listens(app: str, message: str, tmp_path: Path) -> None:
    server = Server(tmp_path, app, "1", "2")
    try:
        _, told = server.process.communicate(timeout=60)
    finally:
        server.end()

    assert message in told
    assert server.process.returncode == 1


def test_an_endpoint_serves_what_its_environment_names(
    sagemaker: Any,
    s3: Any,
    bucket: str,
    name: str,
    settled: Callable[[], dict[str, Any]],
    local_aws: Any,
) -> None:
    key = f"{name}/model.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=archive({"code/own_app.py": APP}))
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": "ray",
            "ModelDataUrl": f"s3://{bucket}/{key}",
            "Environment": {"SM_RAYSERVE_APP": "own_app:app"},
        },
    )
    create_endpoint(sagemaker, name)
    assert settled()["EndpointStatus"] == "InService"

    runtime = local_aws.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=name, Body=b"{}", ContentType="application/json")

    assert json.load(answer["Body"])["content-type"] == "application/json"
    sagemaker.delete_endpoint(EndpointName=name)
