"""The calls that the demo prints: what they send, and how curl signs it."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from include.laptop.calls import Call, calls, local_credentials

PHOTO = bytes(range(256)) * 20


class Recorder(BaseHTTPRequestHandler):
    """Stores the received request, and returns a prediction."""

    received: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, dict(self.headers), body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"predictions": []}')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Recorder.received.clear()
    with HTTPServer(("127.0.0.1", 0), Recorder) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def call(name: str, **options: Any) -> Call:
    return next(each for each in calls("sample", "live", **options) if each.name == name)


@pytest.mark.parametrize("token", ["", "a/session+token=="], ids=["long-term", "temporary"])
def test_curl_signs_as_aws_expects(server: str, tmp_path: Path, token: str) -> None:
    photo = tmp_path / "my dog's photo.jpg"
    photo.write_bytes(PHOTO)
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token or None)
    environment = {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": token,
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    script = call("curl", photo=str(photo), url=f"{server}/function/").script
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == {"predictions": []}, done.stderr
    ((path, headers, body),) = Recorder.received
    assert (body, headers["Content-Type"]) == (PHOTO, "image/jpeg")
    assert headers.get("X-Amz-Security-Token", "") == token
    assert headers["Authorization"].rpartition("Signature=")[2] == signature(
        f"{server}{path}", headers, body, credentials
    )


def signature(url: str, headers: dict[str, str], body: bytes, credentials: Credentials) -> str:
    """Return what botocore computes for the same request at the same time."""
    signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    lower = {name.lower(): value for name, value in headers.items()}
    request = AWSRequest("POST", url, {name: lower[name] for name in signed if name != "host"}, body)
    request.context["timestamp"] = lower["x-amz-date"]
    signer = SigV4Auth(credentials, "lambda", "eu-central-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return signer.signature(text, request)


def test_path_with_a_space_and_a_quote_is_quoted(tmp_path: Path) -> None:
    for each in calls("sample", "live", "my dog's photo.png"):
        checked = subprocess.run(["bash", "-n"], input=each.script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
        assert "my dog" in each.script


@pytest.mark.parametrize(
    ("photo", "content_type"), [("a.png", "image/png"), ("a.JPEG", "image/jpeg"), ("a", "image/jpeg")]
)
def test_curl_sends_the_content_type_of_the_image(photo: str, content_type: str) -> None:
    assert f"Content-Type: {content_type}" in call("curl", photo=photo).script


def test_credentials_bypass_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert "NO_PROXY=127.0.0.1" in local_credentials("http://127.0.0.1:5566")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "NO_PROXY" not in local_credentials("http://127.0.0.1:5566")
