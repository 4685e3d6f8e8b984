"""Reads and judges a data set: what the pipeline's first task and ``make check`` do alike."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from include.pipeline.data import data_report
from include.pipeline.data.dataset import Assembled, assemble
from include.pipeline.data.image_check import CheckedImage, ImageRefused, SetAside, check_image
from include.pipeline.data.layout import Layout, find_layout
from include.pipeline.data.looks import Looks
from include.pipeline.data.progress import Progress
from include.pipeline.data.sources import Members
from include.pipeline.settings import Data

CHECK_THREADS = min(
    8, os.cpu_count() or 1
)  # decoding keeps a core busy; Pillow lets go of the interpreter meanwhile
WAITING_BYTES = 64 << 20


def examine(members: Members, data: Data, progress: Callable[[str], None]) -> tuple[Layout, Assembled]:
    """Read the folders of a source, check each image, and judge all of them together.

    :raises DatasetError: if the folders can't be read, or there are no images.
    """
    layout = find_layout(members.files(), members.folders(), data.layout, members.notes)
    for line in (*members.notes, f"{layout.sentence}."):
        progress(line)
    for line in layout.tree:
        progress(f"  {line}")
    return layout, assemble(layout, *_check_images(members, layout, data, progress), data)


def _check_images(
    members: Members, layout: Layout, data: Data, progress: Callable[[str], None]
) -> tuple[list[CheckedImage], list[SetAside]]:
    sizes = members.files()
    paths = {place: path for path, place in layout.places.items()}
    pictured = data_report.choose_thumbnails(layout.places, layout.has_splits)
    images: list[CheckedImage] = []
    looks = Looks()
    set_aside: list[SetAside] = []
    told = Progress("Checked", len(paths), sum(sizes[place] for place in paths), progress)

    def check(place: str, content: bytes) -> None:
        path = paths[place]
        try:
            images.append(check_image(path, content, data, thumbnail=path in pictured, looks=looks))
        except ImageRefused as error:
            set_aside.append(SetAside(place, str(error), *layout.class_of(path)))
        told.advance(1, len(content))

    _in_threads(check, members.read(paths))
    return images, sorted(set_aside, key=lambda one: one.path)


def _in_threads(work: Callable[[str, bytes], None], contents: Iterator[tuple[str, bytes]]) -> None:
    """Work on contents as they come, with few of them in memory at once."""
    with ThreadPoolExecutor(CHECK_THREADS) as pool:
        waiting: deque[tuple[int, Future[None]]] = deque()
        waiting_bytes = 0
        for place, content in contents:
            waiting.append((len(content), pool.submit(work, place, content)))
            waiting_bytes += len(content)
            while waiting_bytes > WAITING_BYTES or len(waiting) > 16 * CHECK_THREADS:
                size, future = waiting.popleft()
                future.result()
                waiting_bytes -= size
        for _, future in waiting:
            future.result()
