"""Runs a job's processes in a network namespace of their own, where the machine allows it."""

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.sagemaker import loopback
from include.local_aws.sagemaker.documents import Document

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_UNSHARE_SECONDS = 10.0
_POLL_SECONDS = 0.02
# The second needs no rights of its own, but makes the job see every file as its own or nobody's.
_WAYS = (("--net",), ("--net", "--user", "--map-root-user"))


def is_possible() -> bool:
    """Return whether this machine allows it."""
    return _way() is not None


def check_possible(request: Document) -> None:
    """Check that this machine allows what a job, a model or a processing job's ``NetworkConfig`` asks for.

    :raises AwsError: when isolation is asked for and not possible
    """
    if request.get("EnableNetworkIsolation") and not is_possible():
        raise AwsError(
            "ValidationException",
            "Local AWS cannot do EnableNetworkIsolation on this machine, which allows no network namespace (unshare of "
            "util-linux, on Linux). Leave it out.",
        )


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without AWS credentials: an isolated job gets none, as in SageMaker."""
    return {name: value for name, value in environment.items() if name not in _CREDENTIALS}


def isolated(config: Config, command: Sequence[str], peer: int | None = None) -> list[str]:
    """Return what runs a command in a network namespace with nothing in it but the loopback interface.

    To be called only where it :func:`is_possible`.

    :param peer: the id of a process that was started so, to run in its namespace; else a new one is made
    :raises OSError: when the peer has ended
    """
    way = _way() or ()
    if peer is None:
        # The process keeps the id it is started with, by which peers find the namespace.
        return ["unshare", *way, config.python, "-IS", loopback.__file__, *command]
    deadline = time.monotonic() + _UNSHARE_SECONDS
    while os.readlink(f"/proc/{peer}/ns/net") == os.readlink("/proc/self/ns/net"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Process {peer} has made no network namespace.")
        time.sleep(_POLL_SECONDS)
    user = ["--user", "--preserve-credentials"] if "--user" in way else []
    return ["nsenter", "--target", str(peer), "--net", *user, *command]


@functools.cache
def _way() -> tuple[str, ...] | None:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return None
    for options in _WAYS:
        tried = subprocess.run(["unshare", *options, "true"], check=False, capture_output=True)
        if tried.returncode == 0:
            return options
    return None
