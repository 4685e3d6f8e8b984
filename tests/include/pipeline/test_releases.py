"""Releases: what to expect of them, which one to go back to, and what is deleted after the next one."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.pipeline import job_requests, releases
from include.pipeline.images import container_images
from include.pipeline.registry import ModelVersion
from include.pipeline.releases import ReleaseError
from include.pipeline.results import Evaluation, LiveRelease
from include.pipeline.settings import Project
from tests.endpoints import variant
from tests.include.pipeline.registered import Registry


@pytest.fixture
def packages(local_aws: Any) -> Iterator[Registry]:
    made = Registry(Project(name=f"p{uuid.uuid4().hex[:8]}", description="x"), local_aws)
    yield made
    made.remove()


def package(version: int, *, approval: str = "Approved", released: bool = True) -> ModelVersion:
    found = {"accuracy": "0.9000", "accuracy_low": "0.8500", "accuracy_high": "0.9400", "data": "s3://b/d"}
    return ModelVersion(
        arn=f"arn-{version}",
        version=version,
        approval=approval,
        model=f"model-{version}",
        container={},
        properties=found | ({"released": "2026-11-24T20:00:00+00:00"} if released else {}),
        answers="s3://b/e/answers.json",
    )


FOUND = [package(4), package(3, approval="Rejected"), package(2), package(1), package(5, released=False)]


def test_versions_are_good_but_not_live() -> None:
    assert [each.version for each in releases.versions("model-4", FOUND)] == [2, 1]


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        pytest.param("1", 1, id="a number"),
        pytest.param(releases.label(package(2)), 2, id="a label"),
        pytest.param("previous", 2, id="the previous one"),
    ],
)
def test_a_version_is_chosen_by_number_label_or_previous(wanted: str, version: int) -> None:
    assert releases.choose(wanted, "model-4", FOUND).version == version


def test_after_a_rollback_the_previous_version_is_older_than_the_live_one() -> None:
    assert releases.choose("previous", "model-2", FOUND).version == 1


@pytest.mark.parametrize(
    ("wanted", "live", "message"),
    [
        pytest.param(
            "3", "model-4", "'3' is not a version to roll back to. Choose one of 2, 1", id="rejected"
        ),
        pytest.param("4", "model-4", "not a version to roll back to", id="live already"),
        pytest.param(
            "previous", "model-1", "No good version is older than model-1. Choose one of 4, 2", id="oldest"
        ),
    ],
)
def test_an_unsuitable_version_is_refused(wanted: str, live: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        releases.choose(wanted, live, FOUND)


@pytest.mark.parametrize(
    ("live", "found", "message"),
    [(None, FOUND, "No model is live"), ("model-4", FOUND[:2], "No version to roll back to")],
    ids=["nothing live", "nothing else good"],
)
def test_without_a_version_to_choose_the_error_says_why(
    live: str | None, found: list[ModelVersion], message: str
) -> None:
    with pytest.raises(ReleaseError, match=message):
        releases.versions(live, found)


def test_a_label_has_number_accuracy_and_date() -> None:
    assert releases.label(package(2)) == "2: accuracy 0.9000, released 2026-11-24T20:00:00+00:00"


def serving(model: str, config: str = "config") -> LiveRelease:
    return LiveRelease(endpoint_config=config, model=model, artifact="a", inputs="i", function_version="1")


def evaluated(live: Any) -> Evaluation:
    return Evaluation.model_validate({"images": 75, "candidate": {"accuracy": 0.9}, "live": live})


TODAY = "1.dkr.ecr.r.amazonaws.com/ray:serve-ml-sagemaker-cpu-v1.4"


def older(version: int) -> ModelVersion:
    image = "1.dkr.ecr.r.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
    return dataclasses.replace(package(version), container={"Image": image})


def test_a_version_with_an_older_image_warns_and_can_be_chosen_by_its_label() -> None:
    shown = releases.label(older(2), TODAY)
    assert shown == f"{releases.label(package(2))}; older image pytorch-inference:2.6.0-cpu-py312"
    warning = releases.image_warning(older(2), TODAY)
    assert warning is not None
    assert warning.startswith(
        "Version 2 runs in the container image pytorch-inference:2.6.0-cpu-py312, not in the current "
        "ray:serve-ml-sagemaker-cpu-v1.4. AWS may no longer patch it"
    )
    assert releases.choose(shown, "model-4", [package(4), older(2)]).version == 2


@pytest.mark.parametrize("current", [TODAY, None], ids=["current image", "region without images"])
def test_a_version_with_the_current_image_does_not_warn(current: str | None) -> None:
    same = dataclasses.replace(package(2), container={"Image": TODAY})
    assert releases.image_warning(same, current) is None
    assert releases.label(same, current) == releases.label(package(2))


def test_the_current_image_is_that_of_the_endpoint_or_unknown() -> None:
    project = Project(name="birds", description="x")
    assert releases.current_image(project, "us-east-1") == container_images(project, "us-east-1").inference
    assert releases.current_image(project, "nowhere-1") is None
    own = project.model_copy(update={"endpoint": project.endpoint.model_copy(update={"image": "own"})})
    assert releases.current_image(own, "us-east-1") is None


def test_after_a_rollback_the_expectations_are_those_of_the_models_own_evaluation() -> None:
    expected = releases.expected_before(serving("model-2"), FOUND, "s3://b/today", evaluated(None))
    assert (expected.data, expected.accuracy_interval) == ("s3://b/d", (0.85, 0.94))
    assert expected.answers == "s3://b/e/answers.json"


@pytest.mark.parametrize(
    ("live", "interval"),
    [
        ({"accuracy": 0.75, "accuracy_interval": [0.7, 0.8]}, (0.7, 0.8)),
        ({"incomparable": "Other classes."}, (0.0, 1.0)),
    ],
    ids=["evaluated today", "could not be evaluated"],
)
def test_a_model_without_a_package_has_the_expectations_of_the_current_evaluation(
    live: Any, interval: Any
) -> None:
    expected = releases.expected_before(serving("old"), FOUND, "s3://b/today", evaluated(live))
    assert (expected.data, expected.model) == ("s3://b/today", "old")
    assert expected.accuracy_interval == interval


def serve(packages: Registry, package: ModelVersion) -> LiveRelease:
    """Create model and endpoint configuration of a package."""
    project, sagemaker = packages.project, packages.sagemaker
    sagemaker.create_model(
        **job_requests.registered_model(
            project, "arn:aws:iam::123456789012:role/any", package.model, package.container, "i"
        )
    )
    config = job_requests.endpoint_config(project, "bucket", package.model)
    sagemaker.create_endpoint_config(**config)
    return serving(package.model, config["EndpointConfigName"])


def left(packages: Registry) -> tuple[set[str], set[str]]:
    """Return the names of the existing models and endpoint configurations."""
    prefix, sagemaker = packages.project.aws_name, packages.sagemaker
    models = sagemaker.list_models(NameContains=prefix)["Models"]
    configs = sagemaker.list_endpoint_configs(NameContains=prefix)["EndpointConfigs"]
    return {each["ModelName"] for each in models}, {each["EndpointConfigName"] for each in configs}


def test_after_a_release_only_the_live_model_and_its_predecessor_are_left(packages: Registry) -> None:
    old, before, live = [serve(packages, packages.release(number)) for number in (1, 2, 3)]
    failed = serve(packages, packages.register(4))
    other = f"{packages.project.aws_name}-config-of-mine"
    packages.sagemaker.create_endpoint_config(
        EndpointConfigName=other, ProductionVariants=[variant(live.model)]
    )
    deleted = releases.delete_superseded(
        packages.project, live, before, packages.packages(), packages.sagemaker
    )
    assert set(deleted) == {
        each for release in (old, failed) for each in (release.model, release.endpoint_config)
    }
    kept = live, before
    assert left(packages) == (
        {each.model for each in kept},
        {each.endpoint_config for each in kept} | {other},
    )
    again = releases.delete_superseded(
        packages.project, live, before, packages.packages(), packages.sagemaker
    )
    assert again == []


def test_a_model_that_is_released_again_keeps_its_predecessor(packages: Registry) -> None:
    before, live = [serve(packages, packages.release(number)) for number in (1, 2)]
    releases.delete_superseded(packages.project, live, live, packages.packages(), packages.sagemaker)
    assert left(packages) == (
        {live.model, before.model},
        {live.endpoint_config, before.endpoint_config},
    )


def test_a_missing_function_version_is_replaced_by_the_current_one() -> None:
    with mock_aws():
        client = boto3.client("lambda")
        project = Project(name="birds", description="x")
        assert releases.usable_function_version(project, "3", "5", client) == "5"
        assert releases.usable_function_version(project, None, "5", client) == "5"
        with pytest.raises(ReleaseError, match="has no version that can serve the model"):
            releases.usable_function_version(project, "3", None, client)
