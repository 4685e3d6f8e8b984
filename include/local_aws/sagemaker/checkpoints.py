"""Keeps the checkpoint folders of a training job in step with S3."""

import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.principals import Principal
from include.local_aws.sagemaker.documents import Document
from include.local_aws.sagemaker.job_run import JobFailed
from include.local_aws.sagemaker.training_instance import checkpoint_folder

_State = tuple[Path, int, int]
"""A file, its time of change in nanoseconds, and its size in bytes."""

_IN_MEMORY_BYTES = 8 * 2**20

_FAILURES = (Boto3Error, BotoCoreError, ClientError, OSError, ValueError)
_log = logging.getLogger(__name__)


@contextmanager
def kept_in_s3(config: Config, job: Document, instances: Sequence[Path]) -> Iterator[None]:
    """Fill the checkpoint folders from S3, send what changes there while the block runs, and once more after it.

    Nothing is ever deleted in S3, as in SageMaker. Without a ``CheckpointConfig`` this does nothing.

    :raises JobFailed: when the checkpoints cannot be read, or cannot be written at the end
    """
    if "CheckpointConfig" not in job:
        yield
        return
    uri = job["CheckpointConfig"]["S3Uri"]
    copies = _Copies(config, uri, [checkpoint_folder(job, instance) for instance in instances])
    try:
        copies.fetch()
    except _FAILURES as error:
        raise JobFailed(f"ClientError: Checkpoints cannot be read from {uri}: {error}") from error
    ended = threading.Event()
    sender = threading.Thread(target=copies.send_until, args=(ended,), daemon=True)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()
    try:
        copies.send()
    except _FAILURES as error:
        raise JobFailed(f"ClientError: Checkpoints cannot be written to {uri}: {error}") from error


class _Copies:
    """What of the checkpoint folders is in S3 already."""

    def __init__(self, config: Config, uri: str, folders: Sequence[Path]) -> None:
        self._config = config
        self._uri = uri
        self._folders = folders
        self._sent: dict[str, _State] = {}

    def fetch(self) -> None:
        for folder in self._folders:
            object_store.download(self._config, self._uri, folder)
        self._sent = self._present()

    def send(self) -> None:
        """Send what is new or has changed since it was last sent."""
        bucket, prefix = object_store.split_uri(self._uri)
        start = prefix.rstrip("/") + "/" if prefix else ""
        for name, state in self._present().items():
            if self._sent.get(name) == state:
                continue
            try:
                with _snapshot(state[0]) as content:
                    self._config.client("s3", Principal.JOB).upload_fileobj(content, bucket, start + name)
            except FileNotFoundError:
                continue  # the job has renamed or removed it meanwhile
            # As it was before it was sent: what changed meanwhile is sent again.
            self._sent[name] = state

    def send_until(self, ended: threading.Event) -> None:
        while not ended.wait(self._config.checkpoint_sync_seconds):
            try:
                self.send()
            except _FAILURES as error:
                _log.warning("Checkpoints are not in %s yet: %s", self._uri, error)

    def _present(self) -> dict[str, _State]:
        found: dict[str, _State] = {}
        for folder in reversed(self._folders):  # on a clash the first instance's file is the one
            for path in sorted(folder.rglob("*")):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if path.is_file():
                    name = path.relative_to(folder).as_posix()
                    found[name] = (path, status.st_mtime_ns, status.st_size)
        return found


@contextmanager
def _snapshot(path: Path) -> Iterator[BinaryIO]:
    """Give a file's content as it is now, read from its beginning.

    The job may write to the file meanwhile. A request whose body has become shorter than its length never ends.

    :raises FileNotFoundError: when there is no such file anymore
    """
    with path.open("rb") as file, tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as content:
        shutil.copyfileobj(file, content)
        content.seek(0)
        yield cast("BinaryIO", content)
