"""Runs the project's release for test_killed_runs, in children that kill themselves in the middle of a step.

It has imported all and run nothing, so that a child begins at once. It reads the name of a step from each line of its
input, and answers with the number of the signal that ended the child.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.client import BaseClient
from pipeline import Pipeline

READS = ("Describe", "Get", "Head", "List")
# Always the same run: what one child has had done and paid for, the next one adopts.
STARTED = datetime(2026, 1, 2, tzinfo=UTC)


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_until(pipeline: Pipeline, step: str) -> None:
    """Run the release and die in a step: when it has changed something in AWS, or else at its end."""
    call = BaseClient._make_api_call

    def die_after_a_change(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        answer = call(client, operation, arguments)
        if not operation.startswith(READS):
            die()
        return answer

    dag = pipeline.dag("train_and_deploy")
    task = dag.get_task(step)
    task.pre_execute = lambda _: setattr(BaseClient, "_make_api_call", die_after_a_change)
    task.on_success_callback = task.on_skipped_callback = task.on_failure_callback = die
    dag.test(logical_date=STARTED, run_after=STARTED, run_conf={"retrain": True})
