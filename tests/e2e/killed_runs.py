"""Runs the project's release for test_killed_runs.py, in children that kill themselves in the middle of a step.

A process of its own, which has made ready all that takes long and run nothing, so that a child of it begins at once.
It is sent the step and the run's conf for each child, and answers with the child's exit code.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import boto3
import httpx
from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import TriggerRule
from airflow.sdk.execution_time import supervisor
from botocore.client import BaseClient
from human_input.operators import AskOperator
from pipeline import Pipeline, run_dag
from sqlalchemy.orm import configure_mappers

from include.pipeline import smoke_test
from include.pipeline.images import container_images

READS = ("Describe", "Get", "Head", "List")
STARTED = datetime(2026, 1, 2, tzinfo=UTC)
"""When each run began: it is always the same run, so that a child adopts what jobs the one before has ended."""
WAIT_SECONDS = 2.0
"""How long a person is waited for, before the end."""

SERVICES = ("application-autoscaling", "cloudformation", "cloudwatch", "lambda", "s3", "sagemaker", "sts")


def main(folder: Path, aws_url: str, channel: Connection) -> None:
    pipeline = Pipeline(folder, aws_url, boto3.client)
    with pipeline.leading_here(), suppress(EOFError):
        api = warm_up(pipeline)
        while True:
            step, conf = channel.recv()
            child = os.fork()
            if child == 0:
                run_until(pipeline, api, step, conf)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            channel.send(os.waitstatus_to_exitcode(status))


def warm_up(pipeline: Pipeline) -> InProcessExecutionAPI:
    """Do what takes seconds the first time; returns the API that tasks talk to."""
    configure_mappers()
    pipeline.dag("train_and_deploy")
    container_images(pipeline.project, "us-east-1")
    for service in SERVICES:
        AwsBaseHook(client_type=service).get_conn()
    api = supervisor.in_process_api_server()
    httpx.Client(transport=api.transport, base_url="http://in-process.invalid").get(
        "/health"
    ).raise_for_status()
    return api


def run_until(pipeline: Pipeline, api: InProcessExecutionAPI, step: str, conf: dict[str, Any]) -> None:
    """Run the release and die in a step: when it has changed something in AWS, while it waits, or else at its end."""
    # The thread that the API answers from is not in this process.
    mine = InProcessExecutionAPI(app=api.app)
    supervisor.in_process_api_server = lambda: mine
    call = BaseClient._make_api_call

    def call_and_die(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        answer = call(client, operation, arguments)
        if not operation.startswith(READS):
            die()
        return answer

    dag = pipeline.dag("train_and_deploy")
    task = dag.get_task(step)
    if task.trigger_rule == TriggerRule.ONE_FAILED:
        smoke_test.run_smoke_test = fail

    def begin(_: Any) -> None:
        BaseClient._make_api_call = call_and_die
        if isinstance(task, AskOperator):
            threading.Timer(WAIT_SECONDS, die).start()

    task.pre_execute = begin
    task.on_success_callback = task.on_skipped_callback = task.on_failure_callback = [die]
    run_dag(dag, logical_date=STARTED, run_after=STARTED, run_conf={"retrain": True, **conf})


def fail(*_: Any) -> None:
    raise smoke_test.SmokeTestError("It was asked to fail.")


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Connection(int(sys.argv[3])))
