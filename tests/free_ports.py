"""Ports for the servers that tests start."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress

# Below 32768, where Linux begins to give ports to outgoing connections: one of these would take a port that is free
# now, until the server listens on it. A stack needs some ten seconds for that. Up to 19999 are Ray's workers.
FIRST, LAST = 20_000, 32_000
WORKERS = 8
# Each worker of pytest-xdist has a range of its own, in which each run begins elsewhere.
_SIZE = (LAST - FIRST) // WORKERS
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS
_candidates = (FIRST + _WORKER * _SIZE + (os.getpid() * 61 + number) % _SIZE for number in itertools.count())


def free_port() -> int:
    """Return a port that nobody listens on, and that this process has not returned before."""
    for port in itertools.islice(_candidates, _SIZE):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError(f"all {_SIZE} ports of this worker are taken")
