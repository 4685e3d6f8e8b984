"""Serving on one core: the handler alone, and behind HTTP, against eager PyTorch and against TorchServe."""

from __future__ import annotations

import http.client
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

from benchmarks import classifier_jobs, servers, torchserve
from benchmarks.classifier_jobs import LITE0
from benchmarks.dataset import Images, jpegs, unpack
from benchmarks.handler_worker import ALL, as_batch
from benchmarks.latency import BATCH, Round, compare, measure
from benchmarks.options import Options
from benchmarks.peers import ROOT
from benchmarks.results import Result, faster

RESNETS = ("resnet18", "resnet50")
PHOTOS = 40
MAX_ACCURACY_DROP = 0.02
# As far as the answers of two models with the same weights may differ, in the probability of a class.
TOLERANCE = 1e-4
SERVING = ROOT / "include" / "local_aws" / "sagemaker" / "serving.py"
EAGER = "original's handler, eager PyTorch"
TORCHSERVE = "TorchServe, original's handler"


class Model(NamedTuple):
    """A saved model; in 8-bit integers it is not held to the answers of the original's network."""

    name: str
    folder: Path
    is_int8: bool = False


def run(options: Options) -> list[Result]:
    """Compare latency and throughput for each architecture; the answers are compared first."""
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
            with (
                worker("ours", model.folder, photos) as ours,
                worker("original", model.folder, photos) as theirs,
            ):
                results += compare(f"serve, {model.name}", EAGER, ours, theirs, options.rounds)
            if not absent and not model.is_int8:
                results += over_http(model, photos, scratch / f"served {model.name}", options.rounds)
    return results


def write_photos(images: Images, scratch: Path) -> Path:
    """Write test images as JPEG to a folder; of all classes, and the same ones every time."""
    folder = scratch / "photos"
    folder.mkdir()
    found = images.split("test")
    for number, body in enumerate(jpegs(found[:: math.ceil(len(found) / PHOTOS)])):
        (folder / f"{number:03d}.jpg").write_bytes(body)
    return folder


def prepare(images: Images, photos: Path, scratch: Path) -> Iterator[Model]:
    """Train EfficientNet-Lite0's head, and save it in both number formats; save the ResNets with random weights."""
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
        print(f"int8 is not measured: it costs more than {MAX_ACCURACY_DROP} of accuracy here.", flush=True)
    classes = len(json.loads((int8 / "classes.json").read_text()))
    for architecture in RESNETS:
        folder = scratch / architecture
        classifier_jobs.run_module("random_model", architecture, classes, photos, folder)
        yield Model(architecture, folder)


def check_answers(model: Model, photos: Path) -> list[Result]:
    """See that our answers are those of the original's network, which has the same weights.

    :return: for a model in 8-bit integers, which may differ, how often the most probable class is the same.
    :raises RuntimeError: they differ.
    """
    answers = json.loads(classifier_jobs.run_module("answers", model.folder, photos))
    if model.is_int8:
        same = 100 * answers["same_label"]
        return [
            faster(f"serve, {model.name}, same label", same, 100, "original's network, same tensors", "%")
        ]
    if answers["difference"] > TOLERANCE or answers["same_label"] < 1:
        raise RuntimeError(
            f"{model.name} does not answer as the original's network with its weights: {answers}"
        )
    return []


@contextmanager
def worker(way: str, model: Path, photos: Path, *, one_core: bool = True) -> Iterator[Callable[..., Round]]:
    """A handler in a process that computes with one thread; see :mod:`benchmarks.handler_worker`."""
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
        told, said = process.stdin, process.stdout

        def read() -> str:
            line = said.readline()
            if not line:
                raise RuntimeError(f"The handler of {way} ended with status {process.wait()}.")
            return line

        def turn(asked: object = ALL) -> Round:
            told.write(f"{asked}\n")
            told.flush()
            return Round(*json.loads(read()))

        read()
        try:
            yield turn
        finally:
            told.close()


def over_http(model: Model, photos: Path, scratch: Path, rounds: int) -> list[Result]:
    """Compare local AWS's serving process with TorchServe, each with all it starts on one core."""
    bodies = [path.read_bytes() for path in sorted(photos.iterdir())]
    port = servers.free_port()
    with torchserve.serving(model.folder, scratch) as peer_port:
        # No limit to the requests at once, and so no queue.
        server = [sys.executable, "-P", str(SERVING), str(port), str(model.folder), "0", "0"]
        command = servers.on_one_core(server)
        log = scratch / "serving.log"
        with servers.running(command, port, "/ping", servers.ONE_THREAD, log, model.folder):
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


class Client:
    """One connection to a server on this machine, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=servers.START_SECONDS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """The body of an answer with status 200.

        :raises RuntimeError: the server answered anything else.
        """
        self._connection.request("POST", path, body, {"Content-Type": content_type})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} answered {response.status}: {content.decode(errors='replace')[:500]}")
        return content
