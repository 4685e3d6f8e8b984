"""The server of the serving image, on a small model."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.include.serving.server import Server
from tests.include.serving.small_model import write_model

Start = Callable[..., Server]


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A green JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (48, 40), (20, 220, 20)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """What stands for ``/opt/ml``, with a model that has not been served yet."""
    return write_model(tmp_path)


@pytest.fixture
def start(base: Path) -> Iterator[Start]:
    """Start the server with variables of its environment."""
    servers: list[Server] = []

    def run(**environment: str) -> Server:
        servers.append(Server(base, **environment))
        return servers[-1]

    yield run
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for requests that leave it as it is: two processors, three requests in the queue."""
    server = Server(write_model(tmp_path_factory.mktemp("ml")), SERVING_CORES="2", SERVING_QUEUE="3")
    try:
        server.wait()
        yield server
    finally:
        server.end()
