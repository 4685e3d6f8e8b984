"""Says how many processors this process may use, and how many of them one computation should take."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available(cgroups: Path = CGROUPS) -> int:
    """Return the number of processors this process may run on, at least 1.

    Limits by affinity (taskset, cpuset) and by a container's quota of processor time count, which
    os.cpu_count does not know: more threads than that only wait for each other.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _quota(cgroups))))


def threads(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many threads one computation of this process should use.

    OMP_NUM_THREADS decides where it is set. Otherwise the processors are shared evenly among the processes
    that serve the same model: TorchServe, which AWS's container runs, starts one of them per processor
    unless SAGEMAKER_MODEL_SERVER_WORKERS (or, with any SAGEMAKER_TS_ variable, SAGEMAKER_TS_MIN_WORKERS,
    by default 1) says another number.
    """
    given = environment.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return max(1, available() // _workers(environment))


def _workers(environment: Mapping[str, str]) -> int:
    if any(name.startswith("SAGEMAKER_TS_") for name in environment):
        workers = environment.get("SAGEMAKER_TS_MIN_WORKERS", "1")
    else:
        in_torchserve = "ts.model_loader" in sys.modules
        default = str(available() if in_torchserve else 1)
        workers = environment.get("SAGEMAKER_MODEL_SERVER_WORKERS", default)
    return max(1, int(workers))


def _quota(cgroups: Path) -> float:
    """Return the processors' worth of time that the container may use, infinity if that is not limited."""
    try:
        if (cgroups / "cpu.max").exists():  # version 2
            quota, period = (cgroups / "cpu.max").read_text().split()
        else:
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else float("inf")
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")
