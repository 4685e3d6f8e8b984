"""What is printed about the time of a test run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.run_times import ProcessorTime, folder, name_of, summary

BUSY = "import time\nuntil = time.process_time() + 0.5\nwhile time.process_time() < until: pass"


def report(
    nodeid: str, seconds: Sequence[float], worker: str = "gw0", stop: float = 0.0, processor: float = 0.0
) -> list[pytest.TestReport]:
    """The reports of the three phases of a test."""
    return [
        pytest.TestReport(
            nodeid=nodeid,
            location=("", None, ""),
            keywords={},
            outcome="passed",
            longrepr=None,
            when=when,
            duration=duration,
            stop=stop,
            worker_id=worker,
            **({"processor_seconds": processor} if when == "teardown" else {}),
        )
        for when, duration in zip(("setup", "call", "teardown"), seconds, strict=True)
    ]


def test_the_slowest_tests_the_folders_and_the_workers_are_listed() -> None:
    lines = summary(
        [
            *report("tests/e2e/test_a.py::test_slow@stack", (20, 30, 10), stop=100, processor=40),
            *report("tests/e2e/test_a.py::test_quick@stack", (0, 1, 0), stop=101),
            *report("tests/plugins/ml/test_b.py::test_b", (0, 2, 0), worker="gw1", stop=90.5, processor=2),
        ]
    )
    assert lines == [
        "The 3 slowest tests, setup and teardown included:",
        "    60.0 s  tests/e2e/test_a.py::test_slow",
        "     2.0 s  tests/plugins/ml/test_b.py::test_b",
        "     1.0 s  tests/e2e/test_a.py::test_quick",
        "",
        "Folders. The processor time does not include the processes of a stack:",
        "    61.0 s     40.0 s of processor time      2 tests  tests/e2e",
        "     2.0 s      2.0 s of processor time      1 tests  tests/plugins",
        "",
        "Workers:",
        "    61.0 s     40.0 s of processor time      2 tests  gw0, which ended 0.0 s before the last one",
        "     2.0 s      2.0 s of processor time      1 tests  gw1, which ended 10.5 s before the last one",
    ]


def test_only_the_slowest_tests_are_listed() -> None:
    reports = [each for number in range(20) for each in report(f"test_{number}.py::test", (0, number, 0))]
    assert "\n".join(summary(reports)).count("::test") == 15


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tests/test_docs.py::test_a", "tests"),
        ("tests/e2e/test_a.py::test_a", "tests/e2e"),
        ("tests/include/local_aws/ec2/test_a.py::TestA::test_a", "tests/include/local_aws"),
        ("tests/plugins/amazon_ml/operators/test_a.py::test_a", "tests/plugins"),
        ("test_a.py::test_a", "."),
    ],
)
def test_tests_are_counted_by_folder(name: str, expected: str) -> None:
    assert folder(name) == expected


def test_the_group_is_no_part_of_a_tests_name() -> None:
    assert name_of("test_a.py::test_a[a@b]@group") == "test_a.py::test_a[a@b]"
    assert name_of("test_a.py::test_a[a@b]") == "test_a.py::test_a[a@b]"


def test_the_processor_time_of_child_processes_counts_while_they_live_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.run_times.MEASURED_EVERY_SECONDS", 0.0)
    processor_time = ProcessorTime()
    with subprocess.Popen(
        [sys.executable, "-c", BUSY + "\nprint(flush=True)\ninput()"], stdin=-1, stdout=-1
    ) as child:
        child.stdout.read(1)
        while_it_lives = processor_time.since_last_measurement()
        child.communicate(b"\n")
    after = processor_time.since_last_measurement()
    assert while_it_lives >= 0.4
    assert after < 0.4


def test_a_measurement_that_was_a_moment_ago_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.run_times.MEASURED_EVERY_SECONDS", 3600.0)
    assert ProcessorTime().since_last_measurement() == 0.0
