"""A lock that all local AWS servers of a user share on one machine."""

import fcntl
import os
import tempfile
from pathlib import Path


class MachineLock:
    """An exclusive lock on a name. The system releases it when its process ends, however that ends.

    :param name: what is locked, such as a port.
    """

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.gettempdir()) / f"local-aws-{os.getuid()}-{name}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; return whether it was."""
        # Others may write to the folder: a link that they put here must not be followed.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let others take the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
