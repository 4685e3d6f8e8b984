"""Imports of a program, without garbage collection."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collection, and exclude all that exists afterwards from later collections.

    There are a million objects in the modules of PyTorch. It takes a second to traverse them while they are imported
    and again when the program ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
