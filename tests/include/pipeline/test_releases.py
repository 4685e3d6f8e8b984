"""Releases: what they promised, which can be gone back to, and what is deleted after the next one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.pipeline import job_requests, releases
from include.pipeline.registry import Package
from include.pipeline.releases import ReleaseError
from include.pipeline.settings import Project
from tests.include.pipeline.registered import Registry


@pytest.fixture
def packages(local_aws: Any) -> Iterator[Registry]:
    made = Registry(Project(name=f"p{uuid.uuid4().hex[:8]}", description="x"), local_aws)
    yield made
    made.remove()


def package(version: int, *, approval: str = "Approved", released: bool = True) -> Package:
    found = {"accuracy": "0.9000", "accuracy_low": "0.8500", "accuracy_high": "0.9400", "data": "s3://b/d"}
    return Package(
        arn=f"arn-{version}",
        version=version,
        approval=approval,
        model=f"model-{version}",
        container={},
        properties=found | ({"released": "2026-11-24T20:00:00+00:00"} if released else {}),
    )


FOUND = [package(4), package(3, approval="Rejected"), package(2), package(1), package(5, released=False)]


def test_versions_are_those_that_are_good_but_not_live() -> None:
    assert [each.version for each in releases.versions("model-4", FOUND)] == [2, 1]


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        pytest.param("1", 1, id="a number"),
        pytest.param(releases.label(package(2)), 2, id="what a person was shown"),
        pytest.param("previous", 2, id="the one before"),
    ],
)
def test_a_version_is_chosen_by_number_by_label_or_as_the_previous_one(wanted: str, version: int) -> None:
    assert releases.choose(wanted, "model-4", FOUND).version == version


def test_after_a_rollback_the_previous_one_is_older_than_what_is_live() -> None:
    assert releases.choose("previous", "model-2", FOUND).version == 1


@pytest.mark.parametrize(
    ("wanted", "live", "message"),
    [
        pytest.param("3", "model-4", "'3' is no version to go back to; there are 2, 1", id="rejected"),
        pytest.param("4", "model-4", "no version to go back to", id="live already"),
        pytest.param(
            "previous", "model-1", "No good version is older than model-1; name one: 4, 2", id="oldest"
        ),
    ],
)
def test_a_version_that_cannot_be_gone_back_to_is_refused(wanted: str, live: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        releases.choose(wanted, live, FOUND)


@pytest.mark.parametrize(
    ("live", "found", "message"),
    [(None, FOUND, "Nothing is live"), ("model-4", FOUND[:2], "There is no version to go back to")],
    ids=["nothing live", "nothing else good"],
)
def test_where_there_is_nothing_to_choose_it_says_so(
    live: str | None, found: list[Package], message: str
) -> None:
    with pytest.raises(ReleaseError, match=message):
        releases.versions(live, found)


def test_a_person_reads_number_accuracy_and_date() -> None:
    assert releases.label(package(2)) == "2: accuracy 0.9000, released 2026-11-24T20:00:00+00:00"


def test_after_a_rollback_the_model_has_to_do_what_its_own_evaluation_promised() -> None:
    expected = releases.expected_before({"model": "model-2"}, FOUND, "s3://b/today", {"live": None})
    assert (expected.data, expected.accuracy_interval) == ("s3://b/d", (0.85, 0.94))


@pytest.mark.parametrize(
    ("live", "interval"),
    [({"accuracy_interval": [0.7, 0.8]}, (0.7, 0.8)), ({"incomparable": "Other classes."}, (0.0, 1.0))],
    ids=["evaluated today", "could not be evaluated"],
)
def test_a_model_without_a_package_has_to_do_what_todays_evaluation_found(live: Any, interval: Any) -> None:
    expected = releases.expected_before({"model": "old"}, FOUND, "s3://b/today", {"live": live})
    assert (expected.data, expected.model) == ("s3://b/today", "old")
    assert expected.accuracy_interval == interval


def serve(packages: Registry, package: Package) -> dict[str, Any]:
    """Model and endpoint configuration of a package, as read_live tells of them."""
    project, sagemaker = packages.project, packages.sagemaker
    sagemaker.create_model(
        **job_requests.registered_model(
            project, "arn:aws:iam::123456789012:role/any", package.model, package.container, "i"
        )
    )
    config = job_requests.endpoint_config(project, "bucket", package.model)
    sagemaker.create_endpoint_config(**config)
    return {"model": package.model, "endpoint_config": config["EndpointConfigName"]}


def left(packages: Registry) -> tuple[set[str], set[str]]:
    """The models and endpoint configurations that there are."""
    prefix, sagemaker = packages.project.aws_name, packages.sagemaker
    models = sagemaker.list_models(NameContains=prefix)["Models"]
    configs = sagemaker.list_endpoint_configs(NameContains=prefix)["EndpointConfigs"]
    return {each["ModelName"] for each in models}, {each["EndpointConfigName"] for each in configs}


def test_after_a_release_only_live_and_predecessor_are_left(packages: Registry) -> None:
    old, before, live = [serve(packages, packages.release(number)) for number in (1, 2, 3)]
    failed = serve(packages, packages.register(4))
    other = f"{packages.project.aws_name}-config-of-mine"
    variant = {
        "VariantName": "a",
        "ModelName": live["model"],
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    packages.sagemaker.create_endpoint_config(EndpointConfigName=other, ProductionVariants=[variant])
    deleted = releases.delete_superseded(
        packages.project, live, before, packages.packages(), packages.sagemaker
    )
    assert set(deleted) == {*old.values(), *failed.values()}
    kept = live, before
    assert left(packages) == (
        {each["model"] for each in kept},
        {each["endpoint_config"] for each in kept} | {other},
    )
    again = releases.delete_superseded(
        packages.project, live, before, packages.packages(), packages.sagemaker
    )
    assert again == []


def test_a_model_that_is_released_again_keeps_its_predecessor(packages: Registry) -> None:
    before, live = [serve(packages, packages.release(number)) for number in (1, 2)]
    releases.delete_superseded(packages.project, live, live, packages.packages(), packages.sagemaker)
    assert left(packages) == (
        {live["model"], before["model"]},
        {live["endpoint_config"], before["endpoint_config"]},
    )


def test_a_function_version_that_is_gone_is_replaced_by_the_current_one() -> None:
    with mock_aws():
        client = boto3.client("lambda")
        project = Project(name="birds", description="x")
        assert releases.usable_function_version(project, "3", "5", client) == "5"
        assert releases.usable_function_version(project, None, "5", client) == "5"
