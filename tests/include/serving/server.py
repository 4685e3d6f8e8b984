"""The server of the serving image, started as the container does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import urllib3

from tests.environments import PATIENCE
from tests.free_ports import free_port

ROOT = Path(__file__).parents[3]
SERVING = ROOT / "include" / "serving"
HTTP = urllib3.PoolManager(maxsize=64)
UNSET = ("PYTHONPATH", "OMP_NUM_THREADS", "URL_INPUT", "S3_INPUT_PREFIX")


class Server:
    """The server in a process of its own.

    :param base: the folder that stands for ``/opt/ml``.
    :param environment: further variables of the container.
    """

    def __init__(self, base: Path, **environment: str) -> None:
        self.port = free_port()
        self.model = base / "model"
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = base / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(SERVING / "serve.py")],
                env={
                    **{name: value for name, value in os.environ.items() if name not in UNSET},
                    "SAGEMAKER_BASE_DIR": str(base),
                    "SAGEMAKER_BIND_TO_PORT": str(self.port),
                    "SERVING_HOST": "127.0.0.1",
                    "MODEL_RUNTIME": "onnxruntime",
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ping(self) -> int | None:
        """Return the status of ``/ping``, None where nothing listens."""
        try:
            return HTTP.request("GET", f"{self.url}/ping", retries=False, timeout=PATIENCE).status
        except urllib3.exceptions.HTTPError:
            return None

    def wait(self, status: int = 200) -> None:
        """Wait until ``/ping`` answers so."""
        deadline = time.monotonic() + PATIENCE
        while self.ping() != status:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def invoke(self, body: bytes, content_type: str | None = "image/jpeg") -> urllib3.BaseHTTPResponse:
        """Send one request."""
        headers = {"Content-Type": content_type} if content_type is not None else {}
        return HTTP.request(
            "POST", f"{self.url}/invocations", body=body, headers=headers, retries=False, timeout=PATIENCE
        )

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        return psutil.Process(self.process.pid).children()

    def hold(self, what: str) -> Path:
        """Make the model wait while it is ``loading`` or ``computing``, until the file that is returned is removed."""
        (self.model / what).touch()
        return self.model / what

    def count(self, what: str) -> int:
        """Return how often the model has begun ``loading`` or ``computing``, or has ended ``preparing`` an image."""
        log = self.model / f"{what}.log"
        return len(log.read_text()) if log.exists() else 0

    def stop(self) -> int:
        """Send SIGTERM, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """End it and its workers in any case."""
        if self.process.poll() is None:
            workers = self.workers()
            self.process.kill()
            for worker in workers:
                worker.kill()
        self.process.wait()
