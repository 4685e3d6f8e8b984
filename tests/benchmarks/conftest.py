"""Fixtures for the tests of the benchmarks on a busy machine."""

from collections.abc import Iterator

import pytest

from benchmarks import servers, staging


@pytest.fixture(scope="session", autouse=True)
def busy_machine() -> Iterator[None]:
    """Use one compute thread per process, since more would only wait, and give servers more time to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_worker_niceness", "0")  # by default, all other tests come first
        patch.setenv("PIP_NO_COMPILE", "1")  # few of the modules of the programs are used
        patch.setattr(servers, "START_SECONDS", 600)
        patch.setattr(staging, "SERVER_SECONDS", 600)
        yield
