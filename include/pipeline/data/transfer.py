"""Brings the images of a data set to S3: each once, and by a copy inside S3 where S3 has it already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from include.pipeline.data.dataset import Assembled
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.image_check import CheckedImage, staged_content
from include.pipeline.data.layout import Layout
from include.pipeline.data.progress import Progress
from include.pipeline.data.s3_members import CopySource, list_objects
from include.pipeline.data.sources import Members
from include.pipeline.data.uploads import Sender, open_sender
from include.pipeline.data.versions import Version
from include.pipeline.names import split_s3_uri


def send_images(
    members: Members,
    layout: Layout,
    data_set: Assembled,
    home: str,
    s3: Any,
    credentials: Any,
    progress: Callable[[str], None],
    previous: Version | None = None,
) -> tuple[int, int]:
    """Send what is not at ``<home>/<fingerprint>/`` yet, straight from the source's members.

    :param home: the address below which all data sets of the project lie.
    :param previous: the version whose images S3 can copy.
    :return: how many images were sent, and how many were copied by S3.
    :raises DatasetError: if the source changed since it was checked.
    """
    bucket, prefix = split_s3_uri(f"{home}/{data_set.fingerprint}/")
    present = list_objects(s3, bucket, prefix)
    absent = {
        path: image
        for path, image in data_set.images.items()
        if path not in present or present[path][0] != image.size
    }
    if len(absent) < len(data_set.images):
        progress(
            f"{len(data_set.images) - len(absent):,} of {len(data_set.images):,} images are in S3 already."
        )
    earlier = _earlier_objects(s3, home, previous) if absent else {}
    copied = {}
    to_send = {}
    for path, image in absent.items():
        place = layout.places[image.path]
        at_source = None if image.converted else members.copy_source(place)
        source = at_source or earlier.get(image.sha256)
        if source:
            copied[path] = source
        else:
            to_send[place] = (path, image)
    with open_sender(s3, bucket, credentials) as sender:
        _copy(sender, prefix, copied, progress)
        _put(sender, prefix, members, to_send, progress)
    return len(to_send), len(copied)


def _copy(
    sender: Sender, prefix: str, sources: dict[str, CopySource], progress: Callable[[str], None]
) -> None:
    if sources:
        told = Progress("Copied inside S3", len(sources), None, progress)
        for path, source in sources.items():
            sender.copy(prefix + path, source)
            told.advance(1, 0)
        told.finish()


def _put(
    sender: Sender,
    prefix: str,
    members: Members,
    images: dict[str, tuple[str, CheckedImage]],
    progress: Callable[[str], None],
) -> None:
    if not images:
        return
    told = Progress("Sent", len(images), sum(image.size for _, image in images.values()), progress)
    for place, content in members.read(images):
        path, image = images[place]
        content = staged_content(content, image)
        if hashlib.sha256(content).hexdigest() != image.sha256:
            raise DatasetError(f"{place} changed while the data set was staged. Start the run again.")
        sender.put(prefix + path, content, image.sha256)
        told.advance(1, len(content))
    told.finish()


def _earlier_objects(s3: Any, home: str, earlier: Version | None) -> dict[str, CopySource]:
    """The images of the version before, by their SHA-256."""
    if not earlier:
        return {}
    bucket, _ = split_s3_uri(f"{home}/")
    objects = list_objects(s3, bucket, earlier.folder)  # what a manifest names may have been deleted by hand
    return {
        file["sha256"]: CopySource(bucket, earlier.folder + file["path"], objects[file["path"]][1])
        for file in earlier.manifest.files
        if file["path"] in objects and objects[file["path"]][0] == file["size"]
    }
