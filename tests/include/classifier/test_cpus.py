"""A process takes the processors it may use, and shares them with those that serve the same model."""

import os
import sys
from pathlib import Path
from types import ModuleType

import cpus
import pytest


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
        pytest.param({"OMP_NUM_THREADS": "3", "SAGEMAKER_MODEL_SERVER_WORKERS": "8"}, 3, id="told both"),
        pytest.param({"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}, 4, id="two workers"),
        pytest.param({"SAGEMAKER_MODEL_SERVER_WORKERS": "16"}, 1, id="more workers than processors"),
        pytest.param({"SAGEMAKER_TS_BATCH_SIZE": "4"}, 8, id="TorchServe's settings, one worker"),
        pytest.param({"SAGEMAKER_TS_MIN_WORKERS": "4"}, 2, id="TorchServe's settings, four workers"),
    ],
)
def test_workers_share_the_processors(environment: dict[str, str], expected: int, eight: None) -> None:
    assert cpus.threads(environment) == expected


def test_in_torchserve_there_is_a_worker_per_processor(eight: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ts.model_loader", ModuleType("ts.model_loader"))

    assert cpus.threads({}) == 1
    assert cpus.threads({"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) == 4
