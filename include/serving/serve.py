"""Starts the serving image: gunicorn, which keeps the worker processes alive, with uvicorn in each of them.

SageMaker runs ``serve`` in the container. These variables change what is the same in every container:

- ``SAGEMAKER_BASE_DIR``: the folder that holds ``model``, ``/opt/ml``.
- ``SAGEMAKER_BIND_TO_PORT``: 8080.
- ``SERVING_HOST``: all addresses. ``fd://NUMBER`` is a socket that the process has inherited, whatever the port.
- ``SERVING_PROCESSES``, ``SERVING_CORES`` (of each process), ``SERVING_QUEUE`` (of all processes): from the processors.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

CORES_PER_PROCESS = 4
"""Above that, Python's lock would keep threads of one process waiting for each other."""
AT_ONCE_PER_CORE = 4
QUEUE = 100
# SageMaker kills a container 30 s after SIGTERM.
GRACEFUL_SECONDS = 25
HEARTBEAT_SECONDS = 60
# Longer than the load balancers in front of a container keep a connection that nothing uses.
KEEP_ALIVE_SECONDS = 75
# For the heartbeats of the worker processes, which a slow disk would delay.
MEMORY = "/dev/shm"  # noqa: S108


class Server(BaseApplication):
    """Gunicorn with the settings of this image."""

    def __init__(self, model_dir: Path, processes: int, cores: int, queue: int) -> None:
        self._model_dir = model_dir
        self._processes = processes
        self._cores = cores
        self._queue = queue
        # Made before the worker processes, which inherit it.
        self._loaded = multiprocessing.Value("i", 0)
        super().__init__()

    def load_config(self) -> None:
        """Set what gunicorn would read from a file."""
        host = os.environ.get("SERVING_HOST", "0.0.0.0")  # noqa: S104 - in a container of its own
        port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
        settings: dict[str, Any] = {
            "bind": host if host.startswith("fd://") else f"{host}:{port}",
            "workers": self._processes,
            "worker_class": "uvicorn.workers.UvicornWorker",
            "graceful_timeout": GRACEFUL_SECONDS,
            "timeout": HEARTBEAT_SECONDS,
            "keepalive": KEEP_ALIVE_SECONDS,
            "control_socket_disable": True,
            "loglevel": "warning",
        }
        if Path(MEMORY).is_dir():
            settings["worker_tmp_dir"] = MEMORY
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the ASGI application, in a worker process."""
        import serving_app

        # One forward pass at a time takes all processors of the process; see image_classifier/cpus.py.
        os.environ.setdefault("OMP_NUM_THREADS", str(self._cores))
        return serving_app.Application(
            self._model_dir,
            cores=self._cores,
            at_once=AT_ONCE_PER_CORE * self._cores,
            queue=math.ceil(self._queue / self._processes),
            workers=self._processes,
            loaded=self._loaded,
        ).asgi


def main() -> None:
    """Serve the model of this container until SIGTERM, or until it turns out that it can't be loaded."""
    model_dir = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"
    endpoint = model_dir / "code" / "image_classifier" / "endpoint.py"
    if not endpoint.is_file():
        sys.exit(f"{endpoint} does not exist. {model_dir} must be an unpacked model.tar.gz.")
    sys.path[:0] = [str(Path(__file__).parent), str(model_dir / "code")]
    from image_classifier import cpus  # the model's

    available = cpus.available()
    processes = _number("SERVING_PROCESSES", math.ceil(available / CORES_PER_PROCESS))
    cores = _number("SERVING_CORES", max(1, available // processes))
    # It works as before, and the package that replaces it is the same code.
    warnings.filterwarnings("ignore", message=".*uvicorn.workers", category=DeprecationWarning)
    Server(model_dir, processes, cores, _number("SERVING_QUEUE", QUEUE)).run()


def _number(variable: str, otherwise: int) -> int:
    return int(os.environ.get(variable) or otherwise)


if __name__ == "__main__":
    main()
