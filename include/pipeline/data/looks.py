"""Keeps what images look like in a file, for they are more than all else that is known of an image."""

from __future__ import annotations

import os
import tempfile
import threading
from typing import NamedTuple

LOOK_SIDE = 32
LOOK_BYTES = LOOK_SIDE * LOOK_SIDE


class Looks:
    """Looks of 1,024 bytes each, in a file without a name; any number of threads may add some."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this object
        self._lock = threading.Lock()
        self._count = 0

    def add(self, look: bytes) -> StoredLook:
        """Keep a look."""
        with self._lock:
            index = self._count
            self._count += 1
        os.pwrite(self._file.fileno(), look, index * LOOK_BYTES)
        return StoredLook(self, index)

    def read(self, index: int) -> bytes:
        return os.pread(self._file.fileno(), LOOK_BYTES, index * LOOK_BYTES)


class StoredLook(NamedTuple):
    """A look that is kept in a file; ``bytes()`` reads it."""

    looks: Looks
    position: int

    def __bytes__(self) -> bytes:
        return self.looks.read(self.position)
