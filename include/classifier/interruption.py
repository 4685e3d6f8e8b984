"""Notices that the process is told to end, so that it can save its state first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# As a shell reports a process that a signal ended: SageMaker sees that the job did not complete.
EXIT_STATUS = 128 + signal.SIGTERM


@contextmanager
def watch_for_sigterm() -> Iterator[Callable[[], bool]]:
    """Return a function that says whether SIGTERM has come, which ends the process no more while this lasts.

    SageMaker sends it before a spot instance is taken away and when a job is stopped, and kills what still
    runs two minutes later; torchrun passes it on to its processes and kills them after 30 s.
    """
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        yield told.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
