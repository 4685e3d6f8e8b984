"""Test that a release and a teardown cope with all that AWS is and local AWS usually is not: late, stale and busy.

No task is retried here, so each copes by itself.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config
import pytest
from airflow.utils.db import initdb

from include.laptop.infrastructure import clients, deploy
from include.local_aws.principals import Principal
from include.local_aws.weather.kinds import KINDS
from include.pipeline import inventory, names
from tests.conftest import LocalAws
from tests.e2e.pipeline import NAME, Pipeline, states

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SECONDS = "5"
# Neither a busy machine nor a model of one epoch fails the release.
QUICK = {
    "classifier": {"epochs": 1},
    "gate": {"floor": 0},
    "endpoint": {"deployment": {"wait_minutes": 1, "termination_wait_minutes": 0}},
    "alarms": {"max_latency_ms": 600_000},
    "smoke_test": {"images": 5, "max_p95_ms": 600_000},
}


@pytest.fixture(scope="module")
def server(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    environment = {"LOCAL_AWS_WEATHER": "all", "LOCAL_AWS_WEATHER_SECONDS": SECONDS}
    with running_local_aws(tmp_path_factory.mktemp("weather"), **environment) as server:
        deploy(server.url)
        yield server


@pytest.fixture(scope="module")
def shapes(server: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    initdb()
    # Unlike those of other tests, these clients repeat what is throttled.
    shapes = Pipeline(tmp_path_factory.mktemp("project"), server.url, clients(server.url))
    shapes.write(**QUICK)
    with shapes.leading_here():
        yield shapes


def in_good_weather(server: LocalAws) -> Callable[[str], Any]:
    """Return what makes clients with the access key of local AWS itself."""
    return lambda service: boto3.client(
        service,
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=str(Principal.LOCAL_AWS),
        aws_secret_access_key="local",
        config=botocore.config.Config(proxies={}),
    )


def seen(server: LocalAws) -> Counter[str]:
    """Return how often each kind of weather has happened, and how often to what."""
    with urllib.request.urlopen(f"{server.url}/_local_aws/weather") as answer:
        found = Counter(json.load(answer))
    for what, count in list(found.items()):
        found[what.partition("/")[0]] += count * ("/" in what)
    return found


def test_a_release_and_a_teardown_cope_with_all_weather(server: LocalAws, shapes: Pipeline) -> None:
    released = shapes.run("train_and_deploy", train_on="ec2")
    assert str(released.state) == "success", states(released)
    assert set(states(released).values()) <= {"success", "skipped"}
    assert {states(released)[task] for task in ("tune", "train_on_ec2", "smoke_test")} == {"success"}
    assert shapes.ask()["model"].startswith(f"{NAME}-model-")
    after_release = seen(server)
    print(f"After the release: {dict(sorted(after_release.items()))}")
    assert after_release.keys() >= {"roles/sagemaker", "roles/lambda", "roles/ec2", "configs", "ec2/group"}

    removed = shapes.run("teardown", dry_run=False, confirm=NAME, delete_registry=True)
    assert str(removed.state) == "success", states(removed)
    assert set(states(removed).values()) <= {"success", "skipped"}
    happened = seen(server)
    print(f"After the teardown: {dict(sorted(happened.items()))}")
    assert happened.keys() >= KINDS.keys() | {"tags/gone"}
    # Each service that the DAGs call a lot was busy more than once, in the teardown too.
    for service in ("cloudwatch", "ec2", "lambda", "logs", "s3", "sagemaker", "ssm"):
        assert happened[f"throttling/{service}"] > 1
    assert happened["throttling"] > after_release["throttling"]

    client = in_good_weather(server)
    left = {row.what for row in inventory.list_resources(shapes.project, client, None)}
    assert left <= {"job", "logs"}  # the record of a job stays, and the index may list it a while
    instances = inventory.instances(shapes.project, client("ec2")).values()
    assert set(instances) == {"terminated"}
    assert inventory.security_groups(shapes.project, client("ec2")) == []
    found = client("sagemaker").list_endpoints(NameContains=names.endpoint_name(shapes.project))
    assert found["Endpoints"] == []
