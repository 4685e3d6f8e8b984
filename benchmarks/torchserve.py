"""TorchServe with the original project's handler, on PyTorch as installed here."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import servers
from benchmarks.latency import BATCH
from benchmarks.peers import peers

HERE = Path(__file__).parent
SINGLE, BATCHED = "single", "batched"
GATHER_MILLISECONDS = 100


def missing() -> str | None:
    """Return why TorchServe can't be measured on this machine; None if it can."""
    if shutil.which("java") is None:
        return "TorchServe is not measured: java is not on the PATH. Install version 11 or newer."
    try:
        peers()
    except RuntimeError as error:
        return f"TorchServe is not measured: {error}"
    return None


@contextmanager
def serving(model: Path, folder: Path) -> Iterator[int]:
    """Serve a model's weights, and yield the port of ``/predictions/<SINGLE or BATCHED>``.

    :param folder: The folder to create for the archive, the settings and the logs.
    """
    store = folder / "store"
    store.mkdir(parents=True)
    _archive(model, store)
    ports = [servers.free_port() for _ in range(3)]
    (folder / "config.properties").write_text(_settings(ports))
    # The launcher `torchserve` stores the process ID in the shared temporary folder, and does not forward signals.
    programs = peers()
    home = next((programs.parent / "lib").glob("python*/site-packages"))
    java = [
        "java",
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={folder}",
        "-cp",
        f"{home}/ts/frontend/*",
    ]
    options = ["-f", "config.properties", "-s", "store", "-ncs", "--disable-token-auth"]
    command = [*java, "org.pytorch.serve.ModelServer", "--python", str(programs / "python"), *options]
    environment = {
        **servers.ONE_THREAD,
        "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
        "TMPDIR": str(folder),
        "LOG_LOCATION": str(folder / "logs"),
        "METRICS_LOCATION": str(folder / "logs"),
    }
    log = folder / "torchserve.log"
    with servers.running(servers.on_one_core(command), ports[0], "/ping", environment, log, folder):
        yield ports[0]


def _archive(model: Path, store: Path) -> None:
    files = [
        HERE / "original.py",
        *(model / name for name in ("model.safetensors", "model.json", "classes.json")),
    ]
    command = [peers() / "torch-model-archiver", "--model-name", "original", "--version", "1.0"]
    command += ["--handler", HERE / "torchserve_handler.py", "--export-path", store]
    command += ["--extra-files", ",".join(map(str, files))]
    subprocess.run([*map(str, command)], check=True, capture_output=True)


def _settings(ports: list[int]) -> str:
    model = {
        "defaultVersion": True,
        "marName": "original.mar",
        "minWorkers": 1,
        "maxWorkers": 1,
        "maxBatchDelay": GATHER_MILLISECONDS,
        "responseTimeout": servers.START_SECONDS,
    }
    models = {name: {"1.0": {**model, "batchSize": size}} for name, size in ((SINGLE, 1), (BATCHED, BATCH))}
    addresses = zip(("inference", "management", "metrics"), ports, strict=True)
    lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in addresses]
    lines += ["disable_system_metrics=true", f"load_models={SINGLE}=original.mar,{BATCHED}=original.mar"]
    return "\n".join([*lines, f"models={json.dumps(models)}"]) + "\n"
