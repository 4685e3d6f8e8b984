"""Staging: from an archive to objects in a bucket, against the AWS CLI, s5cmd and boto3."""

from __future__ import annotations

import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import clients, photos
from benchmarks.peers import ROOT, peers
from benchmarks.results import Result, cheaper, faster

LARGER = 4
SERVER_SECONDS = 30


def run(images: int, rounds: int) -> list[Result]:
    """Compare throughput and processor time on two servers, and the memory that a larger archive takes."""
    programs = peers()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        archive, larger = Path(scratch, "photos.zip"), Path(scratch, "larger.zip")
        photos.write_archive(archive, images)
        photos.write_archive(larger, images * LARGER)
        judged = clients.judge(archive)
        ways: dict[str, Callable[[str], None]] = {
            "ours": lambda url: clients.ours(archive, url, judged),
            "unzip + aws s3 cp --recursive": lambda url: clients.aws_cli(archive, url, programs),
            "unzip + s5cmd": lambda url: clients.s5cmd(archive, url, programs),
            "unzip + boto3, 16 threads": lambda url: clients.boto3_threads(archive, url),
        }
        whole = {"ours": lambda url: clients.ours_whole(archive, url)}
        with null_server() as url:
            results = compare("null sink", ways, url, images, rounds)
            peer = next(one.peer for one in results if "aws s3 cp" in one.peer_name)
            rate = images / _medians(whole, url, rounds)["ours"].seconds
            name = "staging, with all checks and the report, null sink"
            results.append(faster(name, rate, peer, "unzip + aws s3 cp --recursive", "images/s"))
            small, large = peak_memory(archive, url), peak_memory(larger, url)
        name = f"staging, memory for {LARGER} times the archive"
        results.append(cheaper(name, large, small, "memory for the archive", "MB"))
        with nanio_server(programs, Path(scratch, "served")) as url:
            results += compare("nanio", ways, url, images, 1)
            check_bytes(judged, url)
        return results


def compare(
    server: str, ways: dict[str, Callable[[str], None]], url: str, images: int, rounds: int
) -> list[Result]:
    costs = _medians(ways, url, rounds)
    mine = costs.pop("ours")
    results = []
    for peer, cost in costs.items():
        speeds = images / mine.seconds, images / cost.seconds
        results.append(faster(f"staging, speed, {server}", *speeds, peer, "images/s"))
        processor = 1000 * mine.cpu_seconds / images, 1000 * cost.cpu_seconds / images
        results.append(cheaper(f"staging, processor time, {server}", *processor, peer, "ms/image"))
    return results


def peak_memory(archive: Path, url: str) -> float:
    """Of a process that does nothing but stage, in MB."""
    command = [sys.executable, "-m", "benchmarks.memory", str(archive), url]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def check_bytes(judged: tuple[Any, Any], url: str) -> None:
    """See that every object that we sent is there as it was in the archive.

    :raises ValueError: naming the first that is not.
    """
    s3, _ = clients.client(url)
    _, data_set = judged
    for path, image in data_set.images.items():
        key = f"bench/data/{data_set.fingerprint}/{path}"
        body = s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        if hashlib.sha256(body).hexdigest() != image.sha256:
            raise ValueError(f"{key} is not what was sent.")


@contextmanager
def null_server() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.null_s3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def nanio_server(programs: Path, folder: Path) -> Iterator[str]:
    """A real S3 server that keeps its objects in a folder, with the bucket made."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "NANIO_ACCESS_KEY": clients.KEYS["AWS_ACCESS_KEY_ID"],
        "NANIO_SECRET_KEY": clients.KEYS["AWS_SECRET_ACCESS_KEY"],
    }
    command = [programs / "nanio", "serve", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "error"]
    with subprocess.Popen([*map(str, command), *quiet], env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(port)
            clients.client(url)[0].create_bucket(Bucket="bucket")
            yield url
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _medians(ways: dict[str, Callable[[str], None]], url: str, rounds: int) -> dict[str, clients.Cost]:
    costs: defaultdict[str, list[clients.Cost]] = defaultdict(list)
    for _ in range(rounds):
        for name, way in ways.items():
            costs[name].append(clients.measure(lambda way=way: way(url)))  # type: ignore[misc]
    return {
        name: clients.Cost(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in costs.items()
    }
