"""The application under Ray Serve, started as AWS's image does it: it is healthy only if a replica can answer."""

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from image_classifier import payload, serve_app

from tests.environments import PATIENCE
from tests.free_ports import free_port
from tests.include.classifier.training import Trained

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray[serve] is not installed"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("ray"),
]

SCRIPTS = Path(sys.executable).parent
# Appended to the saved model's predictor: it loads, and computes, when it may.
SLOW = """
import time
from pathlib import Path

hold = Path(__file__).parents[2] / "hold"
load, compute = Predictor.__init__, Predictor.probabilities

def slow_load(self, directory):
    with (directory / "loads").open("a") as loads:
        loads.write("x")
    while not (directory / "may_load").exists():
        time.sleep(0.1)
    load(self, directory)

def slow_compute(self, prepared):
    while hold.exists():
        time.sleep(0.1)
    return compute(self, prepared)

Predictor.__init__, Predictor.probabilities = slow_load, slow_compute
"""
REPLICAS = 2
REPLICA = "ray::ServeReplica:default:Classifier"


class Cluster:
    """Ray with Serve's controller and proxy, but without an application.

    :ivar model: a link to the model's folder, whose code the replicas import.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model"
        self.port, gcs, client, agent = (free_port() for _ in range(4))
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.model), str(self.model / "code"), *inherited()]),
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "RAY_ADDRESS": f"127.0.0.1:{gcs}",
            "RAY_USAGE_STATS_ENABLED": "0",
            # How often a replica that can't be created is tried again: each try imports PyTorch. The default is 3.
            "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",
            # The default is a worker for each processor, which import Ray whether they get work or not.
            "RAY_prestart_worker_first_driver": "0",
            # Ray's default is 15: its workers would hardly get a processor while other tests keep all of them busy.
            "RAY_worker_niceness": "0",
            "MODEL_VERSION": "7",
        }
        # In the folder for temporary files itself: the path of a socket has at most 107 characters.
        self.sessions = tempfile.mkdtemp(prefix="ray-")
        self.ray = self.run(
            "ray",
            *("start", "--head", "--block", f"--port={gcs}", f"--num-cpus={REPLICAS}", "--num-gpus=0"),
            *("--include-dashboard=False", f"--ray-client-server-port={client}"),
            *(f"--dashboard-agent-listen-port={agent}", "--object-store-memory=100000000"),
            *("--node-ip-address=127.0.0.1", f"--temp-dir={self.sessions}"),
        )

    def start(self) -> None:
        eventually(lambda: "Ray runtime started" in self.log("ray") or self.ray.poll() is not None)
        assert self.ray.returncode is None, self.log("ray")
        start = ("serve", "start", "--http-host=127.0.0.1", f"--http-port={self.port}")
        # On a busy machine, Serve stops waiting for its proxy after a minute. Called again, it uses the same one.
        eventually(lambda: self.run(*start).wait(PATIENCE) == 0)

    def run(self, script: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{script}.log").open("wb") as log:
            return subprocess.Popen(
                [str(SCRIPTS / script), *arguments],
                env={**self.environment, **environment},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, script: str) -> str:
        return (self.folder / f"{script}.log").read_text()

    def deploy(self, model: Path, **environment: str) -> "subprocess.Popen[bytes]":
        """Run the application of a model's folder, as AWS's image does."""
        self.model.unlink(missing_ok=True)
        self.model.symlink_to(model)
        return self.run("serve", "run", "serve_app:app", **environment)

    def request(
        self,
        body: bytes | None = None,
        content_type: str | None = "image/jpeg",
        path: str = "/",
        seconds: float = 60,
    ) -> tuple[int, bytes]:
        """Return status and body of an answer; status 0 if there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        headers = {"Content-Type": content_type} if content_type is not None else {}
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def health(self) -> int:
        """Return the status that AWS's adapter makes its /ping of."""
        return self.request(path="/-/healthz")[0]

    def replicas(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(self.ray.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                # Ray appends the method that runs.
                name = process.cmdline()[:1]
                found += [process] if name and name[0].startswith(REPLICA) else []
        return found

    def end(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has not started
            ray = psutil.Process(self.ray.pid)
            started = ray.children(recursive=True)
            ray.terminate()
            for process in psutil.wait_procs([ray, *started], timeout=20)[1]:
                process.kill()
        self.ray.wait()
        shutil.rmtree(self.sessions, ignore_errors=True)


def inherited() -> list[str]:
    return list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the trained model."""
    return Path(shutil.copytree(trained.model, tmp_path / "copy"))


# Ray's proxy stays healthy once it has had a route: so the model that never gets one comes first.
def test_a_model_that_cannot_be_loaded_is_never_healthy(model: Path, cluster: Cluster) -> None:
    for path in (model / "model.safetensors", *model.glob("model.onnx")):
        os.truncate(path, 100_000)

    run, seen = cluster.deploy(model), Counter[int]()
    deadline = time.monotonic() + PATIENCE
    while run.poll() is None and time.monotonic() < deadline:
        seen[cluster.health()] += 1
        time.sleep(0.1)
    seen[cluster.health()] += 1

    assert run.returncode == 1, cluster.log("serve")
    assert 200 not in seen
    assert "Deploying application default failed" in cluster.log("serve")
    assert cluster.request(b"x")[0] == 404


@pytest.fixture(scope="module")
def slow(
    cluster: Cluster, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["subprocess.Popen[bytes]"]:
    """``serve run`` of a model that waits before it loads."""
    model = Path(shutil.copytree(trained.model, tmp_path_factory.mktemp("slow") / "model"))
    with (model / "code" / "image_classifier" / "predictor.py").open("a") as code:
        code.write(SLOW)
    run = cluster.deploy(model, WITHOUT_REPLICA_SECONDS="5")
    yield run
    end(run)


def test_a_model_that_loads_slowly_is_healthy_once_it_answers(
    slow: "subprocess.Popen[bytes]", cluster: Cluster, photo: bytes
) -> None:
    loads = cluster.model / "loads"
    eventually(lambda: loads.exists() and len(loads.read_text()) == REPLICAS)
    # All replicas are there, and none has loaded the model. Ray's own route would be healthy a second later.
    seen = Counter[int]()
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        seen[cluster.health()] += 1
        time.sleep(0.1)
    assert 200 not in seen

    begun = len(loads.read_text())
    (cluster.model / "may_load").touch()
    eventually(lambda: cluster.health() == 200 or slow.poll() is not None)
    status, answer = cluster.request(photo)

    assert (status, json.loads(answer)["model"]) == (200, "7")
    eventually(lambda: "is ready at" in cluster.log("serve"))
    # The replicas were not started a second time to give them the route. On a busy machine, Ray may replace one.
    assert len(loads.read_text()) - begun < REPLICAS
    assert len(cluster.replicas()) == REPLICAS


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (bytes(payload.MAX_BODY_BYTES), "image/jpeg", 400, "is not a JPEG"),
        (bytes(payload.MAX_BODY_BYTES + 1), "image/jpeg", 413, "more than 26,214,400"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "is unknown"),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400, "The form is cut off"),
        (b"\xff", "text/csv", 415, "is unknown"),
        (b"x", None, 415, "no content type"),
        (b"", "image/jpeg", 400, "is empty"),
    ],
    ids=["largest", "too large", "form", "multipart", "csv", "none", "empty"],
)
def test_bad_requests_are_refused_in_a_sentence(
    body: bytes, content_type: str | None, status: int, message: str, slow: object, cluster: Cluster
) -> None:
    answered, answer = cluster.request(body, content_type)

    assert (answered, message in json.loads(answer)["error"]) == (status, True), answer


def test_overload_is_refused_at_once(slow: object, cluster: Cluster, photo: bytes) -> None:
    most = serve_app.MAX_REQUESTS
    hold = cluster.model / "hold"
    hold.touch()
    # AWS's adapter has 100 connections, for which further requests wait. Each request has its own here: threads that
    # share a pool of httpcore may close a connection on which another one waits (encode/httpcore#1110).
    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(cluster.request, photo, seconds=PATIENCE) for _ in range(most + 60)]
        try:
            # Nothing is computed meanwhile, so what is answered was refused.
            eventually(lambda: sum(future.done() for future in asked) >= 30)
        finally:
            hold.unlink()
        answers = [future.result() for future in asked]

    statuses = Counter(status for status, _ in answers)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= serve_app.max_queued_requests(REPLICAS)
    assert statuses[503] >= 30
    assert all(b"dropped due to backpressure" in answer for status, answer in answers if status == 503)
    assert cluster.request(photo)[0] == 200


def test_a_replica_that_ends_is_replaced(slow: object, cluster: Cluster, photo: bytes) -> None:
    [killed, _] = cluster.replicas()
    killed.kill()

    eventually(lambda: cluster.request(photo)[0] == 200)  # by the other one
    eventually(lambda: len({process.pid for process in cluster.replicas()} - {killed.pid}) == REPLICAS)
    eventually(lambda: Counter(cluster.request(photo)[0] for _ in range(10)) == {200: 10})


def test_without_a_replica_for_long_it_is_no_longer_healthy(
    slow: "subprocess.Popen[bytes]", cluster: Cluster
) -> None:
    (cluster.model / "model.json").unlink()
    for process in cluster.replicas():
        process.kill()

    assert slow.wait(PATIENCE) == 1
    assert cluster.health() != 200
    assert "No replica of the model has run for 5 s" in cluster.log("serve")
