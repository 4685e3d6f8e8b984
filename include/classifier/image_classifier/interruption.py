"""Notices SIGTERM, so that the process can save its state before it ends: on EC2 alone.

An EC2 instance that is shut down sends it. In a training job of SageMaker the signal does not arrive: process 1 of
AWS's PyTorch image is a shell that handles no SIGTERM and passes none on. There the training depends on the
checkpoints that it writes by time and after each epoch.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# As a shell reports a process that a signal ended.
EXIT_STATUS = 128 + signal.SIGTERM


@contextmanager
def watch_for_sigterm() -> Iterator[Callable[[], bool]]:
    """Return a function that says whether SIGTERM has come. While active, SIGTERM does not end the process.

    torchrun passes it on to its processes, and kills them after 30 s.
    """
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        yield told.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
