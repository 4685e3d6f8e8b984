"""Run releases in child processes that can kill themselves in the middle of a step, for child_runs.py.

A process receives a `Wanted` for each child process. It answers with the exit code of the child process and with what
the child process has recorded.
"""

from __future__ import annotations

import importlib
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from include.pipeline import approval, inventory, smoke_test
from include.pipeline.infrastructure import read_infrastructure
from tests.e2e.pipeline import Pipeline, run_dag
from tests.e2e.release_record import ReleaseRecord, Wanted

STARTED = datetime(2026, 1, 2, tzinfo=UTC)
"""The logical date of each run. Each run replaces the one before, which has ended or was marked failed."""


def fork(call: Callable[[], None]) -> int:
    """Call a function in a child process, and return the ID of the process."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        call()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # what the tests do at their end is not for a child process


def serve(pipeline: Pipeline, channel: Connection) -> None:
    """Run a child process for each `Wanted` from the channel, until the channel is closed."""
    pipeline.close_connections()
    # Each child process would import Matplotlib, which takes half a second.
    importlib.import_module("include.pipeline.pages.charts")
    with suppress(EOFError):
        while True:
            wanted = Wanted(*channel.recv())
            receiver, sender = Pipe(duplex=False)
            child = fork(lambda: run(pipeline, wanted, sender))  # noqa: B023 - it is called at once
            sender.close()
            noted: list[Any] = []
            with suppress(EOFError):
                noted = receiver.recv()
            _, status = os.waitpid(child, 0)
            channel.send((os.waitstatus_to_exitcode(status), *noted))


def run(pipeline: Pipeline, wanted: Wanted, sender: Connection) -> None:
    """Run the release to its end, or to the call after which the process kills itself."""
    # Seconds, which every process that collects the tests would take.
    from tests.e2e.execution_api import use_after_fork

    use_after_fork()
    if wanted.fails:
        smoke_test.run_smoke_test = fail
    project = pipeline.project
    bucket = read_infrastructure(pipeline.client("cloudformation")).bucket

    def kill(step: str, operation: str) -> None:
        if (step, operation) == wanted.kill:
            record.compare()
            sender.send((record.ended, record.jobs, record.missed))
            os.kill(os.getpid(), signal.SIGKILL)

    record = ReleaseRecord(
        lambda: inventory.list_resources(project, pipeline.client, bucket), wanted.steps, kill
    )
    dag = pipeline.dag("train_and_deploy")
    record.watch(dag)
    run_dag(
        dag,
        answers={"approve": lambda options: approval.APPROVE},
        logical_date=STARTED,
        run_after=STARTED,
        run_conf=wanted.conf,
    )
    record.compare()
    sender.send((record.ended, record.jobs, record.missed))
    sender.close()


def fail(*_: Any) -> None:
    raise smoke_test.SmokeTestError("The test makes the smoke test fail.")
