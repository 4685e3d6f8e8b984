"""Run releases for test_killed_runs.py, in child processes that can kill themselves in the middle of a step.

This process imports all modules first, so that a child process starts at once. It receives a `Wanted` for each child
process. It answers with the exit code of the child process and with what the child process has recorded.
"""

from __future__ import annotations

import importlib
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
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk.execution_time import supervisor
from execution_api import Api, use_after_fork
from pipeline import Pipeline, run_dag
from release_record import ReleaseRecord, Wanted
from service_files import parse_once
from sqlalchemy.orm import configure_mappers

from include.pipeline import approval, inventory, smoke_test
from include.pipeline.images import container_images
from include.pipeline.infrastructure import read_infrastructure

STARTED = datetime(2026, 1, 2, tzinfo=UTC)
"""The logical date of each run. Each run replaces the one before, which has ended or was marked failed."""
SERVICES = ("application-autoscaling", "cloudformation", "cloudwatch", "lambda", "s3", "sagemaker", "sts")


def main(folder: Path, aws_url: str, channel: Connection) -> None:
    # The calls of the tests are not those of Airflow.
    own = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    parse_once()
    pipeline = Pipeline(folder, aws_url, lambda service: boto3.client(service, **own))
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


def warm_up(pipeline: Pipeline) -> Api:
    """Do what takes seconds the first time, and return the API that tasks call."""
    importlib.import_module("include.pipeline.pages.charts")
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


def run(pipeline: Pipeline, api: Api, wanted: Wanted, sender: Connection) -> None:
    """Run the release to its end, or to the call after which the process kills itself."""
    use_after_fork(api)
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Connection(int(sys.argv[3])))
