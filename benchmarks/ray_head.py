"""Run a saved model's application under Ray Serve on this machine, as AWS's image does, until SIGTERM.

``python ray_head.py PORT TEMPORARY_FOLDER``, with the model's ``code`` folder on ``PYTHONPATH``. The path of the
temporary folder must be short: Ray's sockets are below it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import ray
import serve_app  # from the model's code
from ray import serve


def main(port: int, temporary_folder: str) -> None:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    # AWS's image starts Ray by the command line; a processor and its memory are what one core of an instance has.
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=10**8, _temp_dir=temporary_folder)
    for act in (
        lambda: serve.start(http_options={"host": "127.0.0.1", "port": port}),
        lambda: serve.run(serve_app.app({})),
    ):
        # On a busy machine, Serve stops waiting for its proxy after a minute. Called again, it uses the same one.
        while not _done(act):
            print("Serve's proxy has not started within a minute: waiting for it again", flush=True)
    ended.wait()
    ray.shutdown()


def _done(act: Callable[[], object]) -> bool:
    try:
        act()
    except TimeoutError:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
