"""Where this local AWS listens, keeps its files and how its own clients and children reach it."""

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
from moto.core import DEFAULT_ACCOUNT_ID

from include.local_aws.principals import Principal
from include.local_aws.weather import kinds

ACCOUNT_ID: str = DEFAULT_ACCOUNT_ID
DEFAULT_PORT = 5566
DEFAULT_REGION = "us-east-1"

_SECRET = "local"  # noqa: S105 - local AWS takes any
_clients: dict[tuple[str, str, str, str], Any] = {}
_clients_lock = threading.Lock()


@dataclass(frozen=True)
class Config:
    """The settings of one server.

    state_dir and bin_dir reach children as arguments, some of which pass through a shell or are split at
    blanks, so neither may contain one: ``__main__`` gives symbolic links.

    programs_dir has the programs of :mod:`include.local_aws.programs`, for a server that starts training jobs.

    time_scale is how many seconds of a deployment's waiting times, of an alarm's periods and of the two minutes
    until a stopped training job is killed pass in one: 60 makes a second of AWS's minute, 1 is AWS's own time.
    stop_grace_seconds is that time for processing jobs, whose code receives SIGTERM and may save something.
    function_update_seconds is how long a function's creation or update is in progress. concurrent_executions is
    the account's limit for all functions of a region: new accounts of AWS have 10, others 1,000.
    shutdown_minute_seconds is how long a minute is for ``shutdown`` on an EC2 instance, whose work takes its real
    time. endpoint_workers is how many requests an instance of an endpoint works on at once, 0 for any number;
    endpoint_queue more wait, and further ones are answered 503. In AWS's Ray Serve image the application decides:
    include/classifier/image_classifier/serve_app.py has 80 in all, and so have two processors here.

    weather is what goes wrong as in AWS: the kinds of :mod:`include.local_aws.weather.kinds`. weather_seconds is how
    long a lag lasts.
    """

    state_dir: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    region: str = DEFAULT_REGION
    bin_dir: Path = Path(sys.prefix) / "bin"
    programs_dir: Path | None = None
    scaling_window_seconds: float = 60.0
    stop_grace_seconds: float = 120.0
    ping_timeout_seconds: float = 240.0
    checkpoint_sync_seconds: float = 1.0
    time_scale: float = 60.0
    function_update_seconds: float = 0.5
    concurrent_executions: int = 1000
    shutdown_minute_seconds: float = 60.0
    endpoint_workers: int = 0
    endpoint_queue: int = 78
    weather: frozenset[str] = frozenset()
    weather_seconds: float = kinds.SECONDS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **settings: Any) -> "Config":
        """Read the region and the times from the environment; settings are taken as they are."""
        return cls(
            region=environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION,
            scaling_window_seconds=float(environ.get("LOCAL_AWS_SCALING_WINDOW", 60)),
            stop_grace_seconds=float(environ.get("LOCAL_AWS_STOP_GRACE", 120)),
            ping_timeout_seconds=float(environ.get("LOCAL_AWS_PING_TIMEOUT", 240)),
            checkpoint_sync_seconds=float(environ.get("LOCAL_AWS_CHECKPOINT_SYNC", 1)),
            time_scale=float(environ.get("LOCAL_AWS_TIME_SCALE", 60)),
            function_update_seconds=float(environ.get("LOCAL_AWS_FUNCTION_UPDATE", 0.5)),
            concurrent_executions=int(environ.get("LOCAL_AWS_CONCURRENT_EXECUTIONS", 1000)),
            shutdown_minute_seconds=float(environ.get("LOCAL_AWS_SHUTDOWN_MINUTE", 60)),
            endpoint_workers=int(environ.get("LOCAL_AWS_ENDPOINT_WORKERS", 0)),
            endpoint_queue=int(environ.get("LOCAL_AWS_ENDPOINT_QUEUE", 78)),
            weather_seconds=float(environ.get(kinds.SECONDS_VARIABLE, kinds.SECONDS)),
            **settings,
        )

    def lasts(self, seconds: float) -> float:
        """Return how many seconds of this server some seconds of AWS's are."""
        return seconds / self.time_scale

    @property
    def url(self) -> str:
        """The address for own processes: always loopback, even when the server listens on every interface."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def python(self) -> str:
        """The interpreter that runs jobs and serving processes."""
        return str(self.bin_dir / "python")

    def client(self, service: str, principal: Principal = Principal.LOCAL_AWS) -> Any:
        """Return the boto3 client of this local AWS for a service; made once, shared by all threads.

        :param principal: whose role the calls are made with.
        """
        key = (self.url, self.region, service, principal)
        with _clients_lock:
            if key not in _clients:
                _clients[key] = boto3.client(
                    service,
                    endpoint_url=self.url,
                    region_name=self.region,
                    config=botocore.config.Config(
                        s3={"addressing_style": "path"},
                        retries={"total_max_attempts": 2},
                        max_pool_connections=32,
                        proxies={},
                    ),
                    aws_access_key_id=str(principal),
                    aws_secret_access_key=_SECRET,
                )
            return _clients[key]

    def child_environment(self, principal: Principal, **extra: str) -> dict[str, str]:
        """Return the environment for a child: this process's, cleaned, pointed at this local AWS, and extra.

        Nothing of the user's AWS settings or of the repository's import path gets through.
        """
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "SM_", "SAGEMAKER_")) and name != "PYTHONPATH"
        }
        programs = [str(self.programs_dir)] if self.programs_dir else []
        no_proxy = ",".join(filter(None, [inherited.get("NO_PROXY"), "127.0.0.1,localhost"]))
        return {
            **inherited,
            "PATH": ":".join([*programs, str(self.bin_dir), inherited.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            # All containers share this machine. The threads of PyTorch that wait for each other would keep its
            # processors busy meanwhile: three trainings at once took twice as long on two processors.
            "OMP_WAIT_POLICY": inherited.get("OMP_WAIT_POLICY", "PASSIVE"),
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": str(principal),
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **extra,
        }
