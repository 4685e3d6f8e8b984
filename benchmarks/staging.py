"""Benchmark staging, from an archive to objects in a bucket, against the AWS CLI, s5cmd and boto3."""

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import clients, photos
from benchmarks.peers import ROOT, peers
from benchmarks.results import Result, cheaper, faster

LARGER = 4
TIMES_AS_MANY = (10, 100)
ROUNDS_OF_FEW = 3
MOST_BYTES, MOST_BYTES_PER_IMAGE = 100_000_000, 1_000
REQUESTS_TO_WARM_UP = 20
SERVER_SECONDS = 30


def run(images: int, rounds: int) -> list[Result]:
    """Compare throughput and CPU time on two servers, and the memory for a larger archive."""
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
            small, large = stage_alone(archive, url).megabytes, stage_alone(larger, url).megabytes
            grown = growth(Path(scratch), url, images)
        name = f"staging, memory for {LARGER} times the archive"
        results.append(cheaper(name, large, small, "memory for the archive", "MB"))
        results += grown
        return results + on_nanio(ways, programs, Path(scratch), judged, images, rounds)


def compare(
    server: str, ways: dict[str, Callable[[str], None]], url: str, images: int, rounds: int
) -> list[Result]:
    return rows(server, _medians(ways, url, rounds), images)


def rows(server: str, costs: dict[str, clients.Cost], images: int) -> list[Result]:
    """Return speed and CPU time against those of each alternative."""
    mine = costs["ours"]
    results = []
    for peer, cost in costs.items():
        if peer == "ours":
            continue
        speeds = images / mine.seconds, images / cost.seconds
        results.append(faster(f"staging, speed, {server}", *speeds, peer, "images/s"))
        processor = 1000 * mine.cpu_seconds / images, 1000 * cost.cpu_seconds / images
        results.append(cheaper(f"staging, CPU time, {server}", *processor, peer, "ms/image"))
    return results


def on_nanio(
    ways: dict[str, Callable[[str], None]],
    programs: Path,
    scratch: Path,
    judged: tuple[Any, Any],
    images: int,
    rounds: int,
) -> list[Result]:
    """Compare on a server that stores what it is sent: each on a new one that has answered requests, in turn first."""
    costs: defaultdict[str, list[clients.Cost]] = defaultdict(list)
    names = list(ways)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            with (
                tempfile.TemporaryDirectory(dir=scratch) as served,
                nanio_server(programs, Path(served)) as url,
            ):
                s3, _ = clients.client(url)
                for request in range(REQUESTS_TO_WARM_UP):
                    s3.put_object(Bucket="bucket", Key=f"warm-up/{request}", Body=b"")
                way = ways[name]
                costs[name].append(clients.measure(lambda way=way, url=url: way(url)))  # type: ignore[misc]
                if name == "ours" and number == 0:
                    check_bytes(judged, url)
    return rows("nanio", _median_of_each(costs), images)


def growth(scratch: Path, url: str, images: int) -> list[Result]:
    """Compare the CPU time of a tiny image among few and among many, and the memory with the most that it may take."""
    results: list[Result] = []
    fewest = 0.0
    for times in (1, *TIMES_AS_MANY):
        count = images * times
        archive = scratch / "tiny.zip"
        photos.write_tiny_archive(archive, count)
        costs = [stage_alone(archive, url) for _ in range(ROUNDS_OF_FEW if times == 1 else 1)]
        milliseconds = 1000 * min(cost.cpu_seconds for cost in costs) / count
        fewest = fewest or milliseconds
        name = f"staging, {count:,} tiny images"
        results.append(cheaper(f"{name}, CPU time", milliseconds, fewest, f"of {images:,}", "ms/image"))
        most = (MOST_BYTES + MOST_BYTES_PER_IMAGE * count) / (1 << 20)
        results.append(cheaper(f"{name}, memory", costs[0].megabytes, most, "the most they may take", "MB"))
    return results


class Alone(NamedTuple):
    """The cost of staging in a process that does nothing else."""

    megabytes: float
    cpu_seconds: float


def stage_alone(archive: Path, url: str) -> Alone:
    """Return the peak memory of a process that only stages, and its CPU time without imports."""
    command = [sys.executable, "-m", "benchmarks.memory", str(archive), url]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    kilobytes, seconds = done.stdout.split()
    return Alone(int(kilobytes) / 1024, float(seconds))


def check_bytes(judged: tuple[Any, Any], url: str) -> None:
    """Check that every uploaded object is equal to its file in the archive.

    :raises ValueError: With the first object that differs.
    """
    s3, _ = clients.client(url)
    _, data_set = judged
    for path, image in data_set.images.items():
        key = f"bench/data/{data_set.fingerprint}/{path}"
        body = s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        if hashlib.sha256(body).hexdigest() != image.sha256:
            raise ValueError(f"{key} differs from its file in the archive.")


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
    """Run a real S3 server that stores its objects in a folder, and create the bucket."""
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
    return _median_of_each(costs)


def _median_of_each(costs: Mapping[str, list[clients.Cost]]) -> dict[str, clients.Cost]:
    return {
        name: clients.Cost(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in costs.items()
    }
