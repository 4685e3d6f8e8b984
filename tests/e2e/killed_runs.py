"""Runs the project's release for test_killed_runs.py, in children that may kill themselves in the middle of a step.

It is a process of its own that has loaded what takes seconds to load, so that a child of it begins at once. For each
child it receives a `Wanted`. It answers with what the child has sent, and with the child's exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import boto3
import httpx
from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk.execution_time import supervisor
from pipeline import Pipeline, run_dag
from release_record import ReleaseRecord, Wanted
from sqlalchemy.orm import configure_mappers

from include.pipeline import approval, inventory, smoke_test
from include.pipeline.images import container_images
from include.pipeline.infrastructure import read_infrastructure

STARTED = datetime(2026, 1, 2, tzinfo=UTC)
"""When each run began: it is always the same run, which is marked failed or has ended before the next one."""
SERVICES = ("application-autoscaling", "cloudformation", "cloudwatch", "lambda", "s3", "sagemaker", "sts")


def main(folder: Path, aws_url: str, channel: Connection) -> None:
    pipeline = Pipeline(folder, aws_url, boto3.client)
    with pipeline.leading_here(), suppress(EOFError):
        api = warm_up(pipeline)
        while True:
            wanted = Wanted(*channel.recv())
            receiver, sender = Pipe(duplex=False)
            child = os.fork()
            if child == 0:
                run(pipeline, api, wanted, sender)
                os._exit(0)
            sender.close()
            noted: list[Any] = []
            with suppress(EOFError):
                noted = receiver.recv()
            _, status = os.waitpid(child, 0)
            channel.send((os.waitstatus_to_exitcode(status), *noted))


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


def run(pipeline: Pipeline, api: InProcessExecutionAPI, wanted: Wanted, sender: Connection) -> None:
    """Run the release until it ends, or until the call after which it is to be killed."""
    # The thread that the API answers from is not in this process.
    mine = InProcessExecutionAPI(app=api.app)
    supervisor.in_process_api_server = lambda: mine
    if wanted.fails:
        smoke_test.run_smoke_test = fail
    project = pipeline.project
    bucket = read_infrastructure(pipeline.client("cloudformation")).bucket

    def kill(step: str, operation: str) -> None:
        if (step, operation) == wanted.kill:
            record.compare()
            sender.send((record.compared, record.jobs, record.missed))
            os.kill(os.getpid(), signal.SIGKILL)

    record = ReleaseRecord(lambda: inventory.look(project, pipeline.client, bucket), wanted.steps, kill)
    dag = pipeline.dag("train_and_deploy")
    record.watch(dag)
    run_dag(
        dag,
        answers={"approve": lambda options: approval.APPROVE},
        logical_date=STARTED,
        run_after=STARTED,
        run_conf=wanted.conf,
    )
    sender.send((record.compared, record.jobs, record.missed))
    sender.close()


def fail(*_: Any) -> None:
    raise smoke_test.SmokeTestError("It was asked to fail.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Connection(int(sys.argv[3])))
