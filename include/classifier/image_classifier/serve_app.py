"""The application that AWS's Ray Serve image runs: ``SM_RAYSERVE_APP=serve_app:app``.

The image's adapter answers ``/ping`` by the health of Ray's proxy, which is healthy as soon as it has a route, whether
or not a replica can answer. So this application gets its route last: see :func:`app`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from . import gpu

# What a server without Ray runs instead of app.
from .endpoint import asgi as asgi
from .errors import ClassifierError

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.requests import Request
    from starlette.responses import Response

NAME = "default"
"""The name under which ``serve run`` deploys; another one would be a second application."""

# One request is computed, and the next is at hand when it is done.
MAX_ONGOING_REQUESTS = 2
# Of all that are computed, at hand or wait. AWS's adapter sends at most 100 requests to Ray at once, and has further
# ones wait for minutes. So Ray has to answer 503 before there are as many.
MAX_REQUESTS = 80

CONSTRUCTOR_TRIES = 3
WITHOUT_REPLICA_SECONDS = float(os.environ.get("WITHOUT_REPLICA_SECONDS", "300"))
WATCH_SECONDS = 5.0


class Classifier:
    """One replica: a process with the model and one thread, or one GPU.

    Ray may send this class to the replica by value, without its module: it has no ``__file__`` there.
    """

    def __init__(self) -> None:
        from image_classifier import endpoint

        self._endpoint = endpoint.Endpoint(endpoint.MODEL_DIR, threads=1)

    async def __call__(self, request: Request) -> Response:
        return await self._endpoint.answer(request)


def app(arguments: dict[str, str]) -> Application:
    """Start the replicas without a route, wait until all of them can answer, and return the application.

    ``serve run`` deploys what is returned, which only adds the route: the replicas go on. A model that can't be loaded
    ends ``serve run`` here, so that there is never a route, and ``/ping`` never answers 200.

    :param arguments: of ``serve run``; there are none.
    :raises RuntimeError: the model can't be loaded; the cause is in the log.
    """
    import ray
    from ray import serve

    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), namespace="serve", ignore_reinit_error=True)
    wanted = replicas(ray.cluster_resources())
    deployment: Any = serve.deployment(
        Classifier,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        max_queued_requests=max_queued_requests(wanted["num_replicas"]),
        max_constructor_retry_count=CONSTRUCTOR_TRIES,
        **wanted,
    )
    # With the same version, the second deployment keeps the replicas of the first. Ray has no public option for it.
    application = deployment.options(version=uuid.uuid4().hex, _internal=True).bind()
    serve.run(application, name=NAME, route_prefix=None)
    threading.Thread(target=_watch, args=(serve,), daemon=True).start()
    return application


def replicas(resources: dict[str, float]) -> dict[str, Any]:
    """Return how many replicas there are, and what each of them has: a GPU, or one processor.

    :param resources: of the machine, as Ray counts them. A replica for which nothing is left would never start.
    :raises ClassifierError: there is a GPU of which Ray does not know; the replicas would compute on the CPU.
    """
    processors, gpus = max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
    if not gpus and gpu.is_present():
        raise ClassifierError(
            "The instance has an NVIDIA GPU, but Ray counts none, since nvidia-smi lists none. Choose an instance type "
            "with a newer driver or without a GPU."
        )
    if gpus:
        each = {"num_gpus": 1, "num_cpus": max(1, processors // gpus)}
        return {"num_replicas": gpus, "ray_actor_options": each}
    # Ray sets OMP_NUM_THREADS to num_cpus, which cpus.threads obeys.
    return {"num_replicas": processors, "ray_actor_options": {"num_cpus": 1}}


def max_queued_requests(replicas: int) -> int:
    """Return how many requests may wait for a replica; to more than those Ray answers 503 at once."""
    return max(1, MAX_REQUESTS - MAX_ONGOING_REQUESTS * replicas)


def _watch(serve: Any) -> None:
    """End Ray Serve where no replica has run for some minutes: ``/ping`` then fails, and AWS replaces the instance.

    A replica that ends is started again by Ray. Where that does not help, ``/ping`` would stay 200 forever.
    """
    last = time.monotonic()
    while True:
        time.sleep(WATCH_SECONDS)
        deployments = serve.status().applications[NAME].deployments.values()
        if any(deployment.replica_states.get("RUNNING") for deployment in deployments):
            last = time.monotonic()
        elif time.monotonic() - last > WITHOUT_REPLICA_SECONDS:
            print(
                f"No replica of the model has run for {WITHOUT_REPLICA_SECONDS:g} s. Shutting down.",
                file=sys.stderr,
                flush=True,
            )
            serve.shutdown()
            os._exit(1)
