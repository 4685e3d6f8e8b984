"""When an instance is to be powered off, as its own commands say; with timers that only the test looks at."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws
from werkzeug.serving import make_server

from include.local_aws.config import Config
from include.local_aws.ec2 import guest, machines
from include.local_aws.ec2.machines import Machines
from include.local_aws.ec2.service import EC2
from include.local_aws.gateway import Gateway
from include.local_aws.processes import ChildProcesses


class Timer:
    """A timer that never fires."""

    def __init__(self, seconds: float, *_: Any, **__: Any) -> None:
        self.seconds, self.runs = seconds, False

    def start(self) -> None:
        self.runs = True

    def cancel(self) -> None:
        self.runs = False


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    """All timers of instances."""
    made: list[Timer] = []

    def make(*arguments: Any, **options: Any) -> Timer:
        made.append(Timer(*arguments, **options))
        return made[-1]

    kept = {name: getattr(threading, name) for name in ("Event", "Lock")}
    monkeypatch.setattr(machines, "threading", SimpleNamespace(Timer=make, **kept))
    return made


@pytest.fixture
def url(timers: list[Timer], tmp_path: Path) -> Iterator[str]:
    """The URL of a server whose minute is half a second."""
    config = Config(state_dir=tmp_path, shutdown_minute_seconds=0.5)
    with mock_aws():
        service = EC2(config, Machines(config, ChildProcesses()))
    server = make_server("127.0.0.1", 0, Gateway([service], lambda *_: []), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_last_shutdown_counts_until_it_is_canceled(url: str, timers: list[Timer]) -> None:
    for time in ("+3", "+600"):
        assert guest.main(url, "i-1", "shutdown", ["-h", time]) == 0
    assert guest.main(url, "i-2", "shutdown", ["-h", "+1"]) == 0
    assert [(timer.seconds, timer.runs) for timer in timers] == [(1.5, False), (300, True), (0.5, True)]
    assert guest.main(url, "i-1", "shutdown", ["-c"]) == 0
    assert [timer.runs for timer in timers] == [False, False, True]
