"""When a workspace stops by itself, judged by what a Jupyter server answers."""

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
    """A server whose kernels and terminals are what the test says; it asks for the token that it notes."""

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
        (runtime / "jpserver-2.json").write_text('{"url": "http://127.0')  # being written

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
        pytest.param([used(90, "busy")], [], 0, id="a kernel that computes is used now"),
        pytest.param([used(90, "starting")], None, 90, id="stuck, and no terminals at all"),
    ],
)
def test_activity_is_that_of_kernels_and_terminals(
    jupyter: Jupyter, kernels: Any, terminals: Any, minutes_ago: float
) -> None:
    jupyter.resources = {"kernels": kernels, "terminals": terminals}
    (server,) = idle_stop.servers()
    expected = (NOW - timedelta(minutes=minutes_ago)).timestamp()
    assert idle_stop.last_activity(server, NOW.timestamp()) == expected


def test_nothing_was_ever_done_in_a_server_without_kernels(jupyter: Jupyter) -> None:
    assert idle_stop.last_activity(jupyter.note, NOW.timestamp()) == 0


class SageMaker:
    """Counts how often it was asked to stop something, and refuses the first time."""

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
    """Stands for the module time: each pause sets it forward and takes the next step of a story."""

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
    """Watch for an idle time of ten minutes, while a story passes; returns its clock at the end."""

    def run(*story: Callable[[], object]) -> Clock:
        clock = Clock(*story)
        monkeypatch.setattr(idle_stop, "time", clock)
        idle_stop.watch("w", "us-east-1", minutes=10)
        return clock

    return run


def test_an_unused_one_is_stopped_and_a_refusal_is_not_the_end(
    jupyter: Jupyter, sagemaker: SageMaker, watch: Callable[..., Clock]
) -> None:
    def not_stopped() -> None:
        assert sagemaker.asked == [], "it was stopped while it computed"

    def done() -> None:
        jupyter.resources["kernels"] = [used(60, "idle")]

    jupyter.resources["kernels"] = [{"execution_state": "busy"}]
    clock = watch(*[not_stopped] * 20, done, *[nothing] * 11)
    # It was last seen to compute after 20 minutes, is stopped ten minutes later, and then with the next look.
    assert clock.pauses == [60] * 31
    assert sagemaker.asked == ["w", "w"]


def test_one_that_can_no_longer_be_asked_counts_as_unused(
    jupyter: Jupyter, sagemaker: SageMaker, watch: Callable[..., Clock]
) -> None:
    jupyter.resources["kernels"] = [{"execution_state": "busy"}]
    clock = watch(nothing, jupyter.end, *[nothing] * 20)
    assert clock.pauses == [60] * 12
    assert sagemaker.asked == ["w", "w"]


def test_where_no_server_was_ever_seen_nothing_is_stopped(
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
