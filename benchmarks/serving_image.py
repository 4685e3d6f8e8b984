"""Benchmark the server of the serving image against Ray Serve, local AWS's Ray adapter and TorchServe.

It measures one client, eight clients, the start and the memory.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks import servers, torchserve
from benchmarks.http_client import Client
from benchmarks.latency import Round
from benchmarks.peers import ROOT
from benchmarks.results import Result, cheaper, faster
from include.pipeline.job_requests import ONNX_RUNTIME, RUNTIME_VARIABLE, SERVE_APP, SERVE_APP_VARIABLE

SERVER = ROOT / "include" / "serving" / "serve.py"
RAY_HEAD = ROOT / "benchmarks" / "ray_head.py"
RAY_ADAPTER = ROOT / "include" / "local_aws" / "sagemaker" / "ray_serving.py"
CLIENTS = 8
OWN = "own"
TORCHSERVE = "TorchServe, original's handler"
RAY = "Ray Serve"
ADAPTER = "local AWS's Ray adapter"
HANDLER = "handler alone"


class Serving(NamedTuple):
    """A running server.

    :param start: The seconds until ``/ping`` returned 200.
    :param memory: The memory of all its processes after the requests, in MB; shared memory is counted once.
    """

    start: float
    memory: Callable[[], float]
    clients: list[Client]
    port: int
    path: str

    def post(self, client: int, body: bytes) -> None:
        self.clients[client].post(self.path, body, "image/jpeg")


class Times(NamedTuple):
    """The seconds per photo with one client, and the photos per second with eight."""

    single: list[float]
    together: float


def run(
    model: str,
    folder: Path,
    photos: Path,
    scratch: Path,
    rounds: int,
    handler: Callable[[], Round],
    peer: Serving | None,
) -> list[Result]:
    """Compare the servers on one core each; they alternate within each round.

    :param folder: The saved model.
    :param scratch: A folder that is created.
    :param handler: Run a round of the model's handler in one process, without HTTP.
    :param peer: TorchServe with the same weights, if it is available.
    """
    bodies = [path.read_bytes() for path in sorted(photos.iterdir())]
    (scratch / "ml").mkdir(parents=True)
    (scratch / "ml" / "model").symlink_to(folder)
    with ExitStack() as opened:
        sides = {
            OWN: opened.enter_context(_own(scratch)),
            ADAPTER: opened.enter_context(_adapter(folder, scratch)),
        }
        if importlib.util.find_spec("ray") is None:
            print("Ray Serve is not measured: ray[serve] is not installed.", flush=True)
        else:
            sides[RAY] = opened.enter_context(_ray(folder, scratch))
        if peer is not None:
            sides[TORCHSERVE] = peer
        alone: list[float] = []
        turns: dict[str, list[Times]] = {name: [] for name in sides}
        for _ in range(rounds):
            alone += handler().single
            for name, side in sides.items():
                turns[name].append(_measure(side, bodies))
        return _results(f"serving image, {model}", sides, turns, alone)


def _measure(side: Serving, bodies: Sequence[bytes]) -> Times:
    single = []
    for number, client in enumerate(side.clients):
        client.reconnect()
        side.post(number, bodies[0])
    for body in bodies:
        begun = time.perf_counter()
        side.post(0, body)
        single.append(time.perf_counter() - begun)

    def all_photos(client: int) -> None:
        for offset in range(len(bodies)):
            side.post(client, bodies[(client * 5 + offset) % len(bodies)])

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(all_photos, range(CLIENTS)))
    return Times(single, CLIENTS * len(bodies) / (time.perf_counter() - begun))


def _results(
    name: str, sides: dict[str, Serving], turns: dict[str, list[Times]], alone: list[float]
) -> list[Result]:
    def milliseconds(seconds: list[float], percent: int) -> float:
        return 1000 * float(np.percentile(seconds, percent))

    singles = {side: [second for turn in of for second in turn.single] for side, of in turns.items()}
    together = {side: float(np.median([turn.together for turn in of])) for side, of in turns.items()}
    own = sides[OWN]
    results = [
        cheaper(
            f"{name}, one client, p50",
            milliseconds(singles[OWN], 50),
            milliseconds(alone, 50),
            HANDLER,
            "ms",
        )
    ]
    for peer in [side for side in sides if side != OWN]:
        results += [
            *(
                cheaper(
                    f"{name}, one client, p{percent}",
                    milliseconds(singles[OWN], percent),
                    milliseconds(singles[peer], percent),
                    peer,
                    "ms",
                )
                for percent in (50, 99)
            ),
            faster(f"{name}, {CLIENTS} clients", together[OWN], together[peer], peer, "images/s"),
            cheaper(f"{name}, start", own.start, sides[peer].start, peer, "s"),
            cheaper(f"{name}, memory", own.memory(), sides[peer].memory(), peer, "MB"),
        ]
    return results


@contextmanager
def _own(scratch: Path) -> Iterator[Serving]:
    port = servers.free_port()
    environment = {
        "SAGEMAKER_BASE_DIR": str(scratch / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SERVING_HOST": "127.0.0.1",
        RUNTIME_VARIABLE: ONNX_RUNTIME,
    }
    command = servers.on_one_core([sys.executable, "-P", str(SERVER)])
    begun = time.monotonic()
    with servers.running(command, port, "/ping", environment, scratch / "own.log", scratch):
        with _serving(time.monotonic() - begun, port, "/invocations") as serving:
            yield serving


@contextmanager
def _ray(folder: Path, scratch: Path) -> Iterator[Serving]:
    """Run Ray itself. AWS's adapter in front of it, which passes each request on over HTTP, is not included."""
    port = servers.free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as temporary:
        command = servers.on_one_core([sys.executable, "-P", str(RAY_HEAD), str(port), temporary])
        environment = {
            "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "code")]),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        begun = time.monotonic()
        with servers.running(command, port, "/-/healthz", environment, scratch / "ray.log", folder):
            with _serving(time.monotonic() - begun, port, "/") as serving:
                yield serving


@contextmanager
def _adapter(folder: Path, scratch: Path) -> Iterator[Serving]:
    port = servers.free_port()
    command = servers.on_one_core(
        [sys.executable, "-P", str(RAY_ADAPTER), str(port), str(folder), "1", "100"]
    )
    environment = {**servers.ONE_THREAD, SERVE_APP_VARIABLE: SERVE_APP}
    begun = time.monotonic()
    with servers.running(command, port, "/ping", environment, scratch / "adapter.log", folder):
        with _serving(time.monotonic() - begun, port, "/invocations") as serving:
            yield serving


@contextmanager
def torchserve_side(folder: Path, scratch: Path) -> Iterator[Serving]:
    """Run TorchServe with the weights of a saved model.

    :param scratch: is made.
    """
    begun = time.monotonic()
    with torchserve.serving(folder, scratch) as port:
        # Without batching, since waiting for a full batch costs TorchServe more than the batch gains.
        with _serving(time.monotonic() - begun, port, f"/predictions/{torchserve.SINGLE}") as serving:
            yield serving


@contextmanager
def _serving(start: float, port: int, path: str) -> Iterator[Serving]:
    with ExitStack() as opened:
        clients = [opened.enter_context(Client(port)) for _ in range(CLIENTS)]
        yield Serving(start, lambda: _memory(port), clients, port, path)


def _memory(port: int) -> float:
    """Return the memory of a server that was started here and listens on a port, with all its processes, in MB."""
    pids = set()
    for listening in psutil.net_connections("tcp"):
        if (
            listening.status == "LISTEN"
            and listening.pid
            and listening.laddr
            and listening.laddr.port == port
        ):
            server = psutil.Process(listening.pid)
            while (parent := server.parent()) is not None and parent.pid != os.getpid():
                server = parent
            pids |= {server.pid, *(process.pid for process in server.children(recursive=True))}
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(re.findall(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[0]) for rollup in rollups) / 1024
