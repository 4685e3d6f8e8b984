"""A pytest plugin that prints where the time of a test run went: slowest tests, folders and workers."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import psutil
import pytest

SLOWEST = 15
MEASURED_EVERY_SECONDS = 1.0


@dataclass
class Total:
    """The tests of one folder or one worker, with their seconds of wall time and of processor time."""

    tests: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    ended_at: float = 0.0

    def add(self, report: Any) -> None:
        """Count one phase of a test."""
        self.tests += report.when == "setup"
        self.seconds += report.duration
        self.processor_seconds += getattr(report, "processor_seconds", 0.0)
        self.ended_at = max(self.ended_at, report.stop)


class ProcessorTime:
    """Measures the processor time of this process and of all processes that descend from it."""

    def __init__(self) -> None:
        self._measured, self._measured_at = self._total(), time.monotonic()

    def since_last_measurement(self) -> float:
        """Return the processor seconds since the last measurement; 0 when that was a moment ago."""
        if time.monotonic() - self._measured_at < MEASURED_EVERY_SECONDS:
            return 0.0
        last, self._measured, self._measured_at = self._measured, self._total(), time.monotonic()
        return max(0.0, self._measured - last)

    @staticmethod
    def _total() -> float:
        total = sum(os.times()[:4])
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it may end at any moment
                total += sum(process.cpu_times()[:4])
        return total


class ProcessorTimeOfTests:
    """Adds to each test's last report the processor time that the test took."""

    def pytest_collection_finish(self) -> None:
        self._processor_time = ProcessorTime()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        report = yield
        if call.when == "teardown":
            report.processor_seconds = self._processor_time.since_last_measurement()
        return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-times",
        action="store_true",
        help="print the slowest tests, and the time of each folder and of each worker",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("run_times"):
        config.pluginmanager.register(ProcessorTimeOfTests())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
    ]
    if config.getoption("run_times") and reports:
        terminalreporter.section("run times")
        for line in summary(reports):
            terminalreporter.write_line(line)


def summary(reports: Iterable[Any]) -> list[str]:
    """Return the lines about the slowest tests, the folders and the workers."""
    tests: dict[str, Total] = defaultdict(Total)
    folders: dict[str, Total] = defaultdict(Total)
    workers: dict[str, Total] = defaultdict(Total)
    for report in reports:
        name = name_of(report.nodeid)
        for total in (tests[name], folders[folder(name)], workers[getattr(report, "worker_id", "main")]):
            total.add(report)
    last = max(total.ended_at for total in workers.values())
    slowest = sorted(tests.items(), key=lambda item: -item[1].seconds)[:SLOWEST]
    by_seconds = sorted(folders.items(), key=lambda item: -item[1].seconds)
    return [
        f"The {len(slowest)} slowest tests, setup and teardown included:",
        *(f"{total.seconds:8.1f} s  {name}" for name, total in slowest),
        "",
        "Folders. The processor time does not include the processes of a stack:",
        *(f"{_figures(total)}  {name}" for name, total in by_seconds),
        "",
        "Workers:",
        *(
            f"{_figures(total)}  {name}, which ended {last - total.ended_at:.1f} s before the last one"
            for name, total in sorted(workers.items())
        ),
    ]


def name_of(nodeid: str) -> str:
    """Return a test's name without the group that pytest-xdist appends to it."""
    name, separator, _ = nodeid.rpartition("@")
    return name if separator and nodeid.rfind("@") > nodeid.rfind("]") else nodeid


def folder(name: str) -> str:
    """Return the part of the tests that a test is counted for: tests/e2e, tests/include/laptop."""
    parts = PurePosixPath(name.partition("::")[0]).parent.parts
    return "/".join(parts[: 3 if parts[1:2] == ("include",) else 2]) or "."


def _figures(total: Total) -> str:
    return (
        f"{total.seconds:8.1f} s  {total.processor_seconds:7.1f} s of processor time  {total.tests:5} tests"
    )
