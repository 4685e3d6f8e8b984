"""A serving process is started with the limits of the server's settings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.local_aws import object_store, serving_images
from include.local_aws.config import Config
from include.local_aws.sagemaker import fleet, private_folder
from include.local_aws.sagemaker.ray_serving import APP_VARIABLE


class Children:
    """Keeps how the processes are started, and starts none."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.environment: dict[str, str] = {}

    def start(self, command: list[str], *, env: dict[str, str], **_: Any) -> object:
        self.command, self.environment = command, env
        return object()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return how a container is started that works on three requests and has five wait."""
    monkeypatch.setattr(object_store, "extract_archive", lambda *_: None)
    monkeypatch.setattr(fleet, "LogStream", lambda *_: SimpleNamespace(write=print))
    monkeypatch.setattr(private_folder, "private", lambda _, command, __: command)

    def start(**container: Any) -> Children:
        children = Children()
        config = Config(tmp_path, endpoint_workers=3, endpoint_queue=5)
        new = fleet.Fleet(config, children, "endpoint", "config")  # type: ignore[arg-type]
        new.add("only", {"ModelDataUrl": "s3://b/k", **container}, 1.0, 1)
        return children

    return start


@pytest.mark.parametrize("environment", [{}, {APP_VARIABLE: "app:app"}], ids=["toolkit", "ray"])
def test_a_process_gets_its_workers_and_its_queue(started: Any, environment: dict[str, str]) -> None:
    assert started(Environment=environment).command[-2:] == ["3", "5"]


def test_a_built_image_gets_its_cores_and_its_queue(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_images, "resolve", lambda *_: "image@sha256:0")
    monkeypatch.setattr(serving_images, "script", lambda *_: Path("serve.py"))

    environment = started(Image="image").environment

    names = ("SERVING_PROCESSES", "SERVING_CORES", "SERVING_QUEUE")
    assert [environment[name] for name in names] == ["1", "3", "5"]
