"""Warm pools: processes with PyTorch imported that are kept after a training job for the next one that matches."""

import logging
import math
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import network_isolation, warm_client, warm_process
from include.local_aws.sagemaker.documents import Document, Documents

NOT_KEPT = (
    "Local AWS keeps a process for the next job after jobs of one instance on Linux only, so none is kept after "
    "this one."
)

_END_GRACE_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class WarmPool:
    """A kept process, with the job that it belongs to."""

    job: Document
    folder: Path
    process: "subprocess.Popen[str]"
    python: str
    kept_since: float | None = None
    """When it became available; None while a job uses it."""
    expiry: threading.Timer | None = None

    def command(self, script: str) -> list[str]:
        """Return what runs a Python script in this process; the Pythons that it starts run there, too."""
        return [*self._client(), str(self.folder / "python"), "--", script]

    def write_launcher(self) -> None:
        """Write what the script takes for its Python."""
        launcher = self.folder / "python"
        client = shlex.join([*self._client(), self.python])
        launcher.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
        launcher.chmod(0o700)

    def _client(self) -> list[str]:
        return [self.python, "-IS", warm_client.__file__, str(self.folder / "socket")]


class WarmPools:
    """All warm pools of this server."""

    def __init__(self, config: Config, children: ChildProcesses, documents: Documents) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._lock = threading.Lock()
        self._available: list[WarmPool] = []

    def take(self, job: Document) -> WarmPool | None:
        """Return the pool for a job: one that is available and matches, else a new one if the job asks for it."""
        with self._lock:
            pool = next((pool for pool in self._available if _fits(pool, job)), None)
            if pool is not None:
                self._available.remove(pool)
        if pool is not None:
            if pool.expiry is not None:
                pool.expiry.cancel()
            self._retired(pool, "Reused", ReusedByJob=job["TrainingJobName"])
            pool.job, pool.kept_since = job, None
        elif _keep_alive_seconds(job) and can_be_kept(job):
            pool = self._start(job)
        if pool is not None:
            self._documents.update(job, WarmPoolStatus={"Status": "InUse"})
        return pool

    def give_back(self, pool: WarmPool) -> None:
        """Keep a pool for as long as its job asks, or end it."""
        seconds = _keep_alive_seconds(pool.job)
        if not seconds or pool.process.poll() is not None:
            self._end(pool)
            return
        pool.kept_since = time.time()
        self._documents.update(pool.job, WarmPoolStatus={"Status": "Available"})
        with self._lock:
            self._available.append(pool)
            self._expire_after(pool, seconds)

    def update(self, job: Document, seconds: int) -> None:
        """Keep a job's pool for another time, counted from the job's end; 0 ends it.

        :raises AwsError: when the job has no pool that is available
        """
        with self._lock:
            pool = next((pool for pool in self._available if pool.job is job), None)
            if pool is None:
                raise AwsError(
                    "ValidationException",
                    f"KeepAlivePeriodInSeconds of training job {job['TrainingJobName']} cannot be changed: it has no "
                    "warm pool that is Available.",
                )
            resources = {**job["ResourceConfig"], "KeepAlivePeriodInSeconds": seconds}
            self._documents.update(job, ResourceConfig=resources)
            self._expire_after(pool, max(0.0, (pool.kept_since or 0.0) + seconds - time.time()))

    def _expire_after(self, pool: WarmPool, seconds: float) -> None:
        if pool.expiry is not None:
            pool.expiry.cancel()
        pool.expiry = threading.Timer(seconds, self._expire, (pool,))
        pool.expiry.daemon = True
        pool.expiry.start()

    def _start(self, job: Document) -> WarmPool:
        folder = self._config.state_dir / "warm" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as listener:
            warm_client.at_address(listener.bind, folder / "socket")
            listener.listen()
            descriptor = listener.fileno()
            # -P: the program's folder is not for a job's code to import from.
            command = [self._config.python, "-P", warm_process.__file__, str(descriptor)]
            if job.get("EnableNetworkIsolation"):
                command = network_isolation.isolated(self._config, command)
            process = self._children.start(
                command,
                # Some of a job's variables are read when a process starts, such as those of malloc.
                env=self._config.child_environment(Principal.JOB) | job.get("Environment", {}),
                cwd=folder,
                on_line=lambda line: _log.info("Warm pool %s: %s", folder.name, line),
                pass_fds=(descriptor,),
            )
        pool = WarmPool(job, folder, process, self._config.python)
        pool.write_launcher()
        return pool

    def _expire(self, pool: WarmPool) -> None:
        with self._lock:
            if pool not in self._available:
                return  # a job was quicker
            self._available.remove(pool)
        self._end(pool)

    def _end(self, pool: WarmPool) -> None:
        self._children.stop(pool.process, _END_GRACE_SECONDS)
        shutil.rmtree(pool.folder, ignore_errors=True)
        self._retired(pool, "Terminated")

    def _retired(self, pool: WarmPool, status: str, **members: Any) -> None:
        """Write into the description of the job that a pool belonged to how it ended, and how long it was kept."""
        kept = 0.0 if pool.kept_since is None else time.time() - pool.kept_since
        self._documents.update(
            pool.job,
            WarmPoolStatus={
                "Status": status,
                "ResourceRetainedBillableTimeInSeconds": math.ceil(kept),
                **members,
            },
        )


def can_be_kept(job: Document) -> bool:
    """Whether local AWS can keep a process after a job: forking is safe there, and it has one instance."""
    return sys.platform == "linux" and job["ResourceConfig"]["InstanceCount"] == 1


def _keep_alive_seconds(job: Document) -> int:
    seconds: int = job["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0)
    return seconds


def _fits(pool: WarmPool, job: Document) -> bool:
    return pool.process.poll() is None and criteria(pool.job) == criteria(job)


def criteria(job: Document) -> Document:
    """Return what two jobs must have in common to use one pool.

    That is SageMaker's list ("SageMaker AI Managed Warm Pools"), and the variables that the process is started with.
    """
    resources = ("InstanceCount", "InstanceType", "VolumeKmsKeyId", "VolumeSizeInGB")
    return {
        "RoleArn": job["RoleArn"],
        "Resources": {name: job["ResourceConfig"].get(name) for name in resources},
        "VpcConfig": job.get("VpcConfig"),
        "Encryption": job.get("EnableInterContainerTrafficEncryption", False),
        "Isolation": job.get("EnableNetworkIsolation", False),
        "Environment": job.get("Environment", {}),
    }
