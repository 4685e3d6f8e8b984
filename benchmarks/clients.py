"""Clients that upload the photos of an archive to S3: ours and alternatives."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from include.pipeline.data.dataset import Assembled, assemble
from include.pipeline.data.image_check import check_image
from include.pipeline.data.layout import Layout, find_layout
from include.pipeline.data.sources import open_source
from include.pipeline.data.staging import CLIENT_CONFIG, stage
from include.pipeline.data.transfer import send_images
from include.pipeline.settings import Data, Project

PROJECT = Project(name="bench", description="Is measured.")
KEYS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
}
THREADS = 16


class Cost(NamedTuple):
    """The cost of one client: wall-clock seconds, and CPU seconds including child processes."""

    seconds: float
    cpu_seconds: float


def client(url: str) -> tuple[Any, Any]:
    """Return a boto3 client like that of staging, and its credentials."""
    session = boto3.Session(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    config = CLIENT_CONFIG.merge(boto3.session.Config(s3={"addressing_style": "path"}))
    return session.client("s3", endpoint_url=url, config=config), session.get_credentials()


def measure(work: Callable[[], object]) -> Cost:
    gc.collect()  # do not count garbage of the previous client
    begun, before = time.perf_counter(), _cpu()
    work()
    return Cost(time.perf_counter() - begun, _cpu() - before)


def judge(archive: Path) -> tuple[Layout, Assembled]:
    """Return the results of the checks that staging does before the upload; the other clients check nothing."""
    with open_source(str(archive), None) as members:
        layout = find_layout(members.files(), members.folders())
        paths = {place: path for path, place in layout.places.items()}
        images = [check_image(paths[place], content, Data()) for place, content in members.read(paths)]
    return layout, assemble(layout, images, [], Data())


def ours(archive: Path, url: str, judged: tuple[Layout, Assembled]) -> None:
    """Upload all images directly from the archive."""
    layout, data_set = judged
    s3, credentials = client(url)
    with open_source(str(archive), s3) as members:
        send_images(members, layout, data_set, "s3://bucket/bench/data", s3, credentials, lambda line: None)


def ours_whole(archive: Path, url: str) -> None:
    """Upload all images, with all checks and the data report."""
    s3, credentials = client(url)
    stage(PROJECT, str(archive), "bucket", s3, lambda line: None, credentials)


def aws_cli(archive: Path, url: str, programs: Path) -> None:
    # The launcher's shebang line must not contain a space.
    command = [programs / "python", "-m", "awscli", "--endpoint-url", url]
    _from_disk(archive, "aws", [*command, "s3", "cp", "--recursive", "--only-show-errors"])


def s5cmd(archive: Path, url: str, programs: Path) -> None:
    _from_disk(archive, "s5cmd", [programs / "s5cmd", "--endpoint-url", url, "--log", "error", "cp"])


def boto3_threads(archive: Path, url: str) -> None:
    """Unzip, then call put_object from threads, as users commonly do."""
    s3, _ = client(url)
    with tempfile.TemporaryDirectory() as folder:
        _unzip(archive, folder)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]

        def put(path: Path) -> None:
            key = f"bench/data/boto3/{path.relative_to(folder)}"
            s3.put_object(Bucket="bucket", Key=key, Body=path.read_bytes())

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(put, files))


def _from_disk(archive: Path, name: str, command: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _unzip(archive, folder)
        target = f"s3://bucket/bench/data/{name}/"
        environment = {
            **os.environ,
            **KEYS,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
        }
        subprocess.run([*map(str, command), f"{folder}/", target], check=True, env=environment)


def _unzip(archive: Path, folder: str) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
