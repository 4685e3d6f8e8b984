"""A process uses the processors it may use."""

import os
from pathlib import Path

import pytest
from image_classifier import cpus


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is allowed to run on eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))


def test_a_process_bound_to_one_processor_has_one() -> None:
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(bound)})
    try:
        assert cpus.available() == 1
    finally:
        os.sched_setaffinity(0, bound)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 8, id="no container"),
        pytest.param({"cpu.max": "max 100000"}, 8, id="no limit"),
        pytest.param({"cpu.max": "250000 100000"}, 2, id="two and a half"),
        pytest.param({"cpu.max": "50000 100000"}, 1, id="half a processor"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3, id="cgroups version 1"
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8, id="version 1, no limit"
        ),
    ],
)
def test_a_container_counts_by_its_quota(
    files: dict[str, str], expected: int, tmp_path: Path, eight: None
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")

    assert cpus.available(tmp_path) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, 8, id="alone"),
        pytest.param({"OMP_NUM_THREADS": "3"}, 3, id="told"),
        pytest.param({"OMP_NUM_THREADS": "0"}, 8, id="told nothing"),
    ],
)
def test_a_computation_takes_the_threads_that_it_is_told_or_all(
    environment: dict[str, str], expected: int, eight: None
) -> None:
    assert cpus.threads(environment) == expected
