"""Benchmark serving on one core: the handler alone against eager PyTorch, and over HTTP against TorchServe."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import classifier_jobs, servers, serving_image, torchserve
from benchmarks.classifier_jobs import LITE0
from benchmarks.dataset import Images, jpegs, unpack
from benchmarks.handler_worker import ALL, as_batch
from benchmarks.http_client import Client
from benchmarks.latency import BATCH, Round, compare, measure
from benchmarks.options import Options
from benchmarks.peers import ROOT
from benchmarks.results import Result, faster
from include.pipeline.job_requests import SERVE_APP, SERVE_APP_VARIABLE

RESNETS = ("resnet18", "resnet50")
PHOTOS = 40
MAX_ACCURACY_DROP = 0.02
# The tolerance between the probabilities of two models with the same weights.
TOLERANCE = 1e-4
SERVING = ROOT / "include" / "local_aws" / "sagemaker" / "ray_serving.py"
WORKERS, QUEUE = "1", "100"
ENVIRONMENT = {**servers.ONE_THREAD, SERVE_APP_VARIABLE: SERVE_APP}
EAGER = "original's handler, eager PyTorch"
TORCHSERVE = "TorchServe, original's handler"


class Model(NamedTuple):
    """A saved model. The predictions of an int8 model may differ from those of the original network."""

    name: str
    folder: Path
    is_int8: bool = False


def run(options: Options) -> list[Result]:
    """Compare latency and throughput for each architecture, after comparing the predictions."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        images = unpack(options.dataset, scratch / "images", options.of_each_split())
        photos = write_photos(images, scratch)
        absent = torchserve.missing()
        if absent:
            print(absent, flush=True)
        for model in prepare(images, photos, scratch):
            results += check_answers(model, photos)
            with worker("ours", model.folder, photos) as ours:
                with worker("original", model.folder, photos) as theirs:
                    results += compare(f"serve, {model.name}", EAGER, ours, theirs, options.rounds)
                if not model.is_int8:
                    folder_of_servers = scratch / f"served {model.name}"
                    results += with_servers(
                        model, photos, folder_of_servers, options.rounds, ours, not absent
                    )
    return results


def write_photos(images: Images, scratch: Path) -> Path:
    """Write a reproducible selection of test images of all classes as JPEG to a folder."""
    folder = scratch / "photos"
    folder.mkdir()
    found = images.split("test")
    for number, body in enumerate(jpegs(found[:: math.ceil(len(found) / PHOTOS)])):
        (folder / f"{number:03d}.jpg").write_bytes(body)
    return folder


def prepare(images: Images, photos: Path, scratch: Path) -> Iterator[Model]:
    """Train the head of EfficientNet-Lite0 and save it as float32 and int8; save the ResNets with random weights."""
    weights, features = classifier_jobs.lite0_weights(scratch / "weights"), scratch / "features"
    classifier_jobs.extract_features(images.folder, weights, features)
    channels = {"features": features, "pretrained": weights, "training": images.folder}
    classifier_jobs.train(scratch / "fp32", channels, {})
    yield Model(LITE0, scratch / "fp32" / "model")
    classifier_jobs.train(scratch / "int8", channels, {"int8_max_accuracy_drop": MAX_ACCURACY_DROP})
    int8 = scratch / "int8" / "model"
    if json.loads((int8 / "model.json").read_text()).get("serve") == "int8":
        yield Model(f"{LITE0} in int8", int8, is_int8=True)
    else:
        print(f"int8 is not measured: it reduces the accuracy by more than {MAX_ACCURACY_DROP}.", flush=True)
    classes = len(json.loads((int8 / "classes.json").read_text()))
    for architecture in RESNETS:
        folder = scratch / architecture
        classifier_jobs.run_module("random_model", architecture, classes, photos, folder)
        yield Model(architecture, folder)


def check_answers(model: Model, photos: Path) -> list[Result]:
    """Check that our predictions are equal to those of the original network with the same weights.

    :return: For an int8 model, whose predictions may differ, the share of photos with the same label.
    :raises RuntimeError: If they differ.
    """
    answers = json.loads(classifier_jobs.run_module("answers", model.folder, photos))
    if model.is_int8:
        same = 100 * answers["same_label"]
        return [
            faster(f"serve, {model.name}, same label", same, 100, "original's network, same tensors", "%")
        ]
    if answers["difference"] > TOLERANCE or answers["same_label"] < 1:
        raise RuntimeError(
            f"The predictions of {model.name} differ from those of the original network with its weights: {answers}"
        )
    return []


@contextmanager
def worker(way: str, model: Path, photos: Path, *, one_core: bool = True) -> Iterator[Callable[..., Round]]:
    """Run a handler in a process with one compute thread; see :mod:`benchmarks.handler_worker`."""
    command = [sys.executable, "-m", "benchmarks.handler_worker", way, str(model), str(photos)]
    with subprocess.Popen(
        servers.on_one_core(command) if one_core else command,
        cwd=ROOT,
        env={**os.environ, **servers.ONE_THREAD},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def read() -> str:
            line = stdout.readline()
            if not line:
                raise RuntimeError(f"The handler of {way} exited with status {process.wait()}.")
            return line

        def turn(asked: object = ALL) -> Round:
            stdin.write(f"{asked}\n")
            stdin.flush()
            return Round(*json.loads(read()))

        read()
        try:
            yield turn
        finally:
            stdin.close()


def with_servers(
    model: Model,
    photos: Path,
    scratch: Path,
    rounds: int,
    handler: Callable[[], Round],
    has_torchserve: bool,
) -> list[Result]:
    """Compare servers on one core each: those of the serving image and of local AWS, and TorchServe if available.

    :param handler: Run a round of the model's handler in one process, without HTTP.
    """
    scratch.mkdir()
    with ExitStack() as opened:
        peer = None
        if has_torchserve:
            peer = opened.enter_context(serving_image.torchserve_side(model.folder, scratch / "torchserve"))
        results = serving_image.run(
            model.name, model.folder, photos, scratch / "image", rounds, handler, peer
        )
        return [*results, *(over_http(model, photos, scratch, rounds, peer.port) if peer else [])]


def over_http(model: Model, photos: Path, scratch: Path, rounds: int, peer_port: int) -> list[Result]:
    """Compare local AWS's serving process with TorchServe, each with all child processes on one core."""
    bodies = [path.read_bytes() for path in sorted(photos.iterdir())]
    port = servers.free_port()
    command = servers.on_one_core(
        [sys.executable, "-P", str(SERVING), str(port), str(model.folder), WORKERS, QUEUE]
    )
    log = scratch / "serving.log"
    with servers.running(command, port, "/ping", ENVIRONMENT, log, model.folder):
        with ExitStack() as closed:
            ours = closed.enter_context(Client(port))
            theirs = [closed.enter_context(Client(peer_port)) for _ in range(BATCH)]
            pool = closed.enter_context(ThreadPoolExecutor(BATCH))

            def one(batch: list[bytes]) -> object:
                return ours.post("/invocations", batch[0], "image/jpeg")

            def several(batch: list[bytes]) -> object:
                return ours.post("/invocations", as_batch(batch), "application/json")

            def peer_one(batch: list[bytes]) -> object:
                return theirs[0].post(f"/predictions/{torchserve.SINGLE}", batch[0], "image/jpeg")

            def peer_post(client: Client, body: bytes) -> object:
                return client.post(f"/predictions/{torchserve.BATCHED}", body, "image/jpeg")

            def peer_several(batch: list[bytes]) -> object:
                return list(pool.map(peer_post, theirs, batch))

            def turn() -> Round:
                return measure(bodies, one, several)

            def peer_turn() -> Round:
                return measure(bodies, peer_one, peer_several)

            for warm_up in (one, several, peer_one, peer_several):
                warm_up((bodies * BATCH)[:BATCH])
            return compare(f"serve over HTTP, {model.name}", TORCHSERVE, turn, peer_turn, rounds)
