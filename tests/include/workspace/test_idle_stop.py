"""When a workspace stops itself, according to the responses of a Jupyter server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from include.workspace import idle_stop

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Jupyter:
    """A server with the kernels and terminals of the test; it requires the token of its runtime file."""

    def __init__(self, runtime: Path) -> None:
        self.resources: dict[str, list[dict[str, Any]] | None] = {"kernels": [], "terminals": []}
        jupyter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = jupyter.resources.get(self.path.removeprefix("/api/"))
                allowed = self.headers["Authorization"] == "token t"
                self.send_response(403 if not allowed else 404 if found is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.note = {"url": f"http://127.0.0.1:{self.server.server_port}/", "token": "t"}
        (runtime / "jpserver-1.json").write_text(json.dumps(self.note))
        (runtime / "jpserver-2.json").write_text('{"url": "http://127.0')  # incomplete

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jupyter]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    jupyter = Jupyter(tmp_path)
    yield jupyter
    jupyter.end()


def used(minutes_ago: float, state: str | None = None) -> dict[str, Any]:
    when = (NOW - timedelta(minutes=minutes_ago)).isoformat().replace("+00:00", "Z")
    return {"last_activity": when} | ({"execution_state": state} if state else {})


@pytest.mark.parametrize(
    ("kernels", "terminals", "minutes_ago"),
    [
        pytest.param([used(9, "idle"), used(5, "idle")], [used(7)], 5, id="the latest kernel"),
        pytest.param([used(9, "idle")], [used(3)], 3, id="a terminal"),
        pytest.param([used(90, "busy")], [], 0, id="a busy kernel is active now"),
        pytest.param([used(90, "starting")], None, 90, id="a starting kernel without a terminals API"),
    ],
)
def test_activity_of_kernels_and_terminals(
    jupyter: Jupyter, kernels: Any, terminals: Any, minutes_ago: float
) -> None:
    jupyter.resources = {"kernels": kernels, "terminals": terminals}
    (server,) = idle_stop.servers()
    expected = (NOW - timedelta(minutes=minutes_ago)).timestamp()
    assert idle_stop.last_activity(server, NOW.timestamp()) == expected


def test_server_without_kernels_has_no_activity(jupyter: Jupyter) -> None:
    assert idle_stop.last_activity(jupyter.note, NOW.timestamp()) == 0


class SageMaker:
    """Counts the stop requests, and rejects the first one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def stop_notebook_instance(self, NotebookInstanceName: str) -> None:
        self.asked.append(NotebookInstanceName)
        if len(self.asked) == 1:
            raise RuntimeError("Rate exceeded")


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> SageMaker:
    sagemaker = SageMaker()
    monkeypatch.setattr(boto3, "client", lambda service, region_name: sagemaker)
    return sagemaker


class Clock:
    """Replaces the module time: each pause advances it and does the next step of a scenario."""

    def __init__(self, *story: Callable[[], object]) -> None:
        self.now = NOW.timestamp()
        self.pauses: list[float] = []
        self._story = iter(story)

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        next(self._story)()


def nothing() -> None:
    """Let a pause pass."""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    """Watch for an idle time of ten minutes during a scenario; return its clock at the end."""

    def run(*story: Callable[[], object]) -> Clock:
        clock = Clock(*story)
        monkeypatch.setattr(idle_stop, "time", clock)
        idle_stop.watch("w", "us-east-1", minutes=10)
        return clock

    return run


def test_idle_instance_is_stopped_with_retries(
    jupyter: Jupyter, sagemaker: SageMaker, watch: Callable[..., Clock]
) -> None:
    def not_stopped() -> None:
        assert sagemaker.asked == [], "it was stopped while it computed"

    def done() -> None:
        jupyter.resources["kernels"] = [used(60, "idle")]

    jupyter.resources["kernels"] = [{"execution_state": "busy"}]
    clock = watch(*[not_stopped] * 20, done, *[nothing] * 11)
    # It was last busy after 20 minutes. The stop is requested ten minutes later, and again at the next poll.
    assert clock.pauses == [60] * 31
    assert sagemaker.asked == ["w", "w"]


def test_server_that_can_no_longer_be_reached_is_idle(
    jupyter: Jupyter, sagemaker: SageMaker, watch: Callable[..., Clock]
) -> None:
    jupyter.resources["kernels"] = [{"execution_state": "busy"}]
    clock = watch(nothing, jupyter.end, *[nothing] * 20)
    assert clock.pauses == [60] * 12
    assert sagemaker.asked == ["w", "w"]


def test_instance_is_not_stopped_if_no_server_was_ever_reached(
    jupyter: Jupyter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sagemaker: SageMaker,
    watch: Callable[..., Clock],
) -> None:
    def not_stopped() -> None:
        assert sagemaker.asked == []

    monkeypatch.setattr(idle_stop, "AWS_ADDRESS", "https://127.0.0.1:1/")
    note = tmp_path / "jpserver-1.json"
    note.unlink()
    watch(*[not_stopped] * 20, lambda: note.write_text(json.dumps(jupyter.note)), nothing, nothing)
    assert sagemaker.asked == ["w", "w"]
