"""What the benchmarks' tests have in common: a busy machine."""

from collections.abc import Iterator

import pytest

from benchmarks import servers, staging


@pytest.fixture(scope="session", autouse=True)
def busy_machine() -> Iterator[None]:
    """Let each process compute with one thread, as more only wait for each other, and give servers time to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(servers, "START_SECONDS", 600)
        patch.setattr(staging, "SERVER_SECONDS", 600)
        yield
