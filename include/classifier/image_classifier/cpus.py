"""Says how many processors this process may use, and how many of them one computation should take."""

import os
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

    That is OMP_NUM_THREADS where it is set, as Ray does for its replicas, else the number of processors.
    """
    given = environment.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else available()


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
