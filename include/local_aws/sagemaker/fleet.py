"""The serving processes behind an endpoint: started, checked, taken in turn, and ended when idle."""

import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from botocore.exceptions import ClientError

from include.local_aws import object_store, serving_images
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.log_streams import LogStream
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import network_isolation, private_folder, ray_serving, serving
from include.local_aws.sagemaker.documents import Document
from include.local_aws.sagemaker.job_run import in_folder

INVOCATION_TIMEOUT_SECONDS = 60.0
"""SageMaker's own limit for a model's answer."""

_PING_POLL_SECONDS = 0.1
_END_GRACE_SECONDS = 5.0
_LISTENERS_AT_ONCE = 64


class Unhealthy(Exception):
    """A fleet cannot serve; the message is the endpoint's failure reason."""


class FleetEnded(Exception):
    """Another fleet has taken over, or the endpoint is gone."""


@dataclass(eq=False)
class Instance:
    """One serving process and the number of requests it is working on."""

    process: "subprocess.Popen[str]"
    port: int
    in_flight: int = 0

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None


@dataclass(eq=False)
class Variant:
    """The instances of a production variant, with what is needed to start more of them."""

    name: str
    container: Document
    base: Path
    weight: float
    is_isolated: bool = False
    image: str | None = None
    """The URI of an image that local AWS has built, with its digest."""
    instances: list[Instance] = field(default_factory=list)
    turn: int = 0

    @property
    def model_dir(self) -> Path:
        """The unpacked model; the variant's folder stands for /opt/ml."""
        return self.base / "model"


class Fleet:
    """All serving processes of one deployment of an endpoint."""

    def __init__(
        self,
        config: Config,
        children: ChildProcesses,
        endpoint: str,
        endpoint_config: str,
        data_capture: Document | None = None,
    ) -> None:
        self.endpoint_config = endpoint_config
        self.data_capture = data_capture
        self._config = config
        self._children = children
        self._endpoint = endpoint
        self._idle = threading.Condition()
        self._ended = False
        self._pool = urllib3.PoolManager(maxsize=_LISTENERS_AT_ONCE, num_pools=_LISTENERS_AT_ONCE)
        self.variants: dict[str, Variant] = {}

    def add(
        self, name: str, container: Document, weight: float, count: int, *, is_isolated: bool = False
    ) -> None:
        """Unpack a variant's model and start its processes; :meth:`check` waits for them.

        :param is_isolated: whether they have no network and no credentials
        :raises Unhealthy: when the model's archive cannot be read
        """
        folder = self._config.state_dir / "endpoints"
        folder.mkdir(exist_ok=True)
        base = Path(tempfile.mkdtemp(prefix=f"{self._endpoint}-{name}-", dir=folder))
        variant = self.variants[name] = Variant(name, container, base, weight, is_isolated)
        try:
            object_store.extract_archive(self._config, container["ModelDataUrl"], variant.model_dir)
        except (ClientError, OSError, ValueError) as error:
            raise Unhealthy(
                f"Failed to download model data for container from {container['ModelDataUrl']}: {error}"
            ) from error
        try:
            variant.image = serving_images.resolve(self._config, container.get("Image", ""))
            variant.instances = [self._start(variant) for _ in range(count)]
        except serving_images.ImageMissing as error:
            raise Unhealthy(str(error)) from error

    def check(self) -> None:
        """Wait until every process answers /ping.

        :raises Unhealthy: when one ends, or none answers in time
        """
        for variant in self.variants.values():
            self._check(variant, variant.instances)

    def is_alive(self) -> bool:
        """Whether each variant has a process that runs."""
        return not self._dead_variants()

    def check_alive(self) -> None:
        """Check that each variant still has a process that runs.

        :raises Unhealthy: when the last one of a variant has ended
        """
        for name in self._dead_variants():
            raise _no_ping(name)

    def resize(self, name: str, count: int) -> None:
        """Start or end processes of a variant until there are count.

        :raises Unhealthy: when a new one does not come up; those that served before go on
        """
        variant = self.variants[name]
        if count > len(variant.instances):
            new = [self._start(variant) for _ in range(count - len(variant.instances))]
            try:
                self._check(variant, new)
            except Unhealthy:
                self._end(new)
                raise
            with self._idle:
                variant.instances = [*variant.instances, *new]
        else:
            with self._idle:
                kept, surplus = variant.instances[:count], variant.instances[count:]
                variant.instances = kept
            self._end(surplus)

    def choose(self, target: str | None) -> str:
        """Return the variant for a request: the one asked for, else by weight.

        :raises AwsError: when there is none of that name, or no variant has a weight
        """
        if target is not None:
            if target not in self.variants:
                raise AwsError("ValidationError", f"Variant {target} not found for {self._endpoint}.")
            return target
        names = list(self.variants)
        weights = [variant.weight for variant in self.variants.values()]
        if not any(weights):
            raise AwsError("ValidationError", f"No variant of endpoint {self._endpoint} has a weight.")
        return random.choices(names, weights)[0]  # noqa: S311 - traffic is split, nothing is hidden

    @contextmanager
    def instance(self, name: str) -> Iterator[Instance]:
        """Give the instance of a variant whose turn it is, counted as busy meanwhile.

        :raises FleetEnded: when this fleet takes no more requests
        """
        with self._idle:
            if self._ended:
                raise FleetEnded
            variant = self.variants[name]
            variant.turn += 1
            # As a load balancer does: one that has ended is left out while there is another.
            alive = [each for each in variant.instances if each.is_alive()] or variant.instances
            instance = alive[variant.turn % len(alive)]
            instance.in_flight += 1
        try:
            yield instance
        finally:
            with self._idle:
                instance.in_flight -= 1
                self._idle.notify_all()

    def request(self, instance: Instance, body: bytes, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send a request to a process and return its whole answer.

        :raises urllib3.exceptions.HTTPError: when it gives none
        """
        return self._pool.request(
            "POST",
            f"http://127.0.0.1:{instance.port}/invocations",
            body=body,
            headers=headers,
            timeout=INVOCATION_TIMEOUT_SECONDS,
            retries=False,
        )

    def end(self) -> None:
        """End every process once it has answered what it is working on, and remove the models."""
        with self._idle:
            self._ended = True
        self._end([instance for variant in self.variants.values() for instance in variant.instances])
        for variant in self.variants.values():
            shutil.rmtree(variant.base, ignore_errors=True)
        self._pool.clear()

    def _start(self, variant: Variant) -> Instance:
        log = LogStream(
            self._config,
            f"/aws/sagemaker/Endpoints/{self._endpoint}",
            f"{variant.name}/i-{uuid.uuid4().hex[:17]}",
        )
        environment = self._config.child_environment(Principal.JOB, SAGEMAKER_BASE_DIR=str(variant.base))
        if variant.is_isolated:
            environment = network_isolation.without_credentials(environment)
        environment |= {
            name: in_folder(value, variant.base)
            for name, value in variant.container.get("Environment", {}).items()
        }
        # A socket belongs to the network namespace in which it was made: by this one, requests reach an isolated
        # process. It does not listen yet, so that requests are refused until the model is loaded.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            # -P: the script's folder is not for the model's code to import from.
            command = [self._config.python, "-P", *self._server(variant, listener.fileno())]
            command = private_folder.private(self._config, command, variant.base)
            if variant.is_isolated:
                command = network_isolation.isolated(self._config, command)
            process = self._children.start(
                command,
                env=environment | self._of_built_image(variant, listener.fileno()),
                cwd=variant.model_dir,
                on_line=log.write,
                pass_fds=(listener.fileno(),),
            )
            return Instance(process, listener.getsockname()[1])

    def _server(self, variant: Variant, listener: int) -> list[str]:
        """Return the script that stands for the container's server, and its arguments.

        :raises ImageMissing: when local AWS has not built the image
        """
        if variant.image:
            return [str(serving_images.script(self._config, variant.image))]
        is_ray = ray_serving.APP_VARIABLE in variant.container.get("Environment", {})
        return [
            str((ray_serving if is_ray else serving).__file__),
            *(f"fd:{listener}", str(variant.model_dir)),
            *(str(self._config.endpoint_workers), str(self._config.endpoint_queue)),
        ]

    def _of_built_image(self, variant: Variant, listener: int) -> dict[str, str]:
        """Return what an image that local AWS has built is started with: the socket on which it listens."""
        if not variant.image:
            return {}
        workers = self._config.endpoint_workers
        return {
            "SERVING_HOST": f"fd://{listener}",
            "SERVING_QUEUE": str(self._config.endpoint_queue),
            **({"SERVING_PROCESSES": "1", "SERVING_CORES": str(workers)} if workers else {}),
        }

    def _check(self, variant: Variant, instances: list[Instance]) -> None:
        deadline = time.monotonic() + self._config.ping_timeout_seconds
        for instance in instances:
            while not self._answers(instance):
                if not instance.is_alive() or time.monotonic() > deadline:
                    raise _no_ping(variant.name)
                time.sleep(_PING_POLL_SECONDS)

    def _dead_variants(self) -> list[str]:
        return [
            variant.name
            for variant in self.variants.values()
            if not any(instance.is_alive() for instance in variant.instances)
        ]

    def _answers(self, instance: Instance) -> bool:
        try:
            url = f"http://127.0.0.1:{instance.port}/ping"
            return self._pool.request("GET", url, timeout=2.0, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _end(self, instances: list[Instance]) -> None:
        with self._idle:
            self._idle.wait_for(
                lambda: not any(instance.in_flight for instance in instances), INVOCATION_TIMEOUT_SECONDS
            )
        if instances:
            with ThreadPoolExecutor(len(instances)) as pool:
                list(
                    pool.map(
                        lambda instance: self._children.stop(instance.process, _END_GRACE_SECONDS), instances
                    )
                )


def _no_ping(variant: str) -> Unhealthy:
    return Unhealthy(
        f"The primary container for production variant {variant} did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
