"""A stack whose programs run but never respond."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from include.laptop.environment import MARKER
from include.laptop.stack import Stack


@pytest.fixture
def hanging(tmp_path: Path, eventually: Callable[..., Any]) -> Iterator[Stack]:
    """A stack whose local AWS and API server accept connections but never respond."""
    with ExitStack() as sockets:
        listening = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        airflow_port, aws_port = (each.getsockname()[1] for each in listening)
        stack = Stack(tmp_path, airflow_port, aws_port)
        stack.paths.make()
        stack.paths.remember_ports()
        stack.paths.passwords_file.write_text(json.dumps({"admin": "secret"}))
        stack.supervision.commands = {name: ["sleep", "600"] for name in stack.supervision.commands}
        stack.supervision.start({**os.environ, MARKER: str(stack.paths.state_dir)})
        try:
            eventually(lambda: all(each.state == "running" for each in stack.supervision.components()))
            yield stack
        finally:
            stack.supervision.stop()
