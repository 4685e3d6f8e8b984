"""Container image URIs: those of the SageMaker SDK, without the SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.laptop.support_table import table
from include.pipeline.images import Images, container_images
from include.pipeline.project_files import PROJECTS_FOLDER, load_project
from include.pipeline.settings import Project
from include.pipeline.support import TABLE

REGIONS = {
    "us-east-1": "2.14",
    "eu-west-1": "2.14",
    "af-south-1": "2.14",
    "il-central-1": "2.14",
    "cn-north-1": "2.13",
    "us-gov-west-1": "2.13",
}
"""Regions, with the newest PyTorch image of AWS there."""
INSTANCE_TYPES = ("ml.m5.large", "ml.c7i.xlarge", "ml.g4dn.xlarge", "ml.g6.2xlarge", "ml.p4d.24xlarge")


@pytest.fixture
def project() -> Project:
    return load_project(PROJECTS_FOLDER / "sample.yaml")


def images(project: Project, region: str, **instance_types: str) -> Images:
    """Return the images of the project with other instance types in some of its sections."""
    changed: dict[str, Any] = {
        section: getattr(project, section).model_copy(update={"instance_type": instance_type})
        for section, instance_type in instance_types.items()
    }
    return container_images(project.model_copy(update=changed), region)


@pytest.mark.parametrize("image", ["own", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/serving:1"])
def test_an_own_image_is_not_looked_up(project: Project, image: str) -> None:
    endpoint = project.endpoint.model_copy(update={"image": image})
    found = container_images(project.model_copy(update={"endpoint": endpoint}), "eu-west-1")
    assert found.inference == image
    assert found.training == images(project, "eu-west-1").training


def test_the_table_is_that_of_the_sdk_and_the_dates() -> None:
    assert json.loads(TABLE.read_text(encoding="utf-8")) == table()


@pytest.mark.parametrize(("region", "newest"), REGIONS.items())
@pytest.mark.parametrize("instance_type", INSTANCE_TYPES)
def test_an_image_is_the_one_that_the_sdk_selects(
    project: Project, region: str, newest: str, instance_type: str
) -> None:
    # Takes seconds, which every process that collects the tests would need.
    from sagemaker.core import image_uris

    def chosen(framework: str, version: str, scope: str) -> str:
        uri: str = image_uris.retrieve(
            framework, region, version=version, instance_type=instance_type, image_scope=scope
        )
        return uri

    found = images(project, region, training=instance_type, endpoint=instance_type)
    assert found.training == chosen("pytorch-amzn2023", newest, "training")
    assert found.inference == chosen("ray-serve", "1.4", "inference")


def test_each_job_has_the_image_for_its_own_instance_type(project: Project) -> None:
    found = images(project, "us-east-1", tuning="ml.g4dn.xlarge")
    assert ["-cpu-" in image for image in (found.tuning, found.training, found.processing)] == [
        False,
        True,
        True,
    ]


def test_a_region_without_an_image_is_refused_with_those_that_have_one(project: Project) -> None:
    with pytest.raises(ValueError, match=r"region mars-north-1\. Choose one of af-south-1, "):
        container_images(project, "mars-north-1")


@pytest.mark.parametrize("instance_type", ["ml.inf2.xlarge", "ml.trn1.2xlarge"])
def test_an_instance_type_with_an_accelerator_of_aws_is_refused(project: Project, instance_type: str) -> None:
    with pytest.raises(ValueError, match=f"{instance_type} has AWS's own accelerator"):
        images(project, "us-east-1", training=instance_type)


@pytest.mark.parametrize(
    "instance_type", ["ml.m7g.large", "ml.c6gn.xlarge", "ml.g5g.xlarge", "ml.t4g.medium"]
)
def test_a_graviton_instance_type_is_refused(project: Project, instance_type: str) -> None:
    with pytest.raises(ValueError, match=f"{instance_type} has a Graviton processor"):
        images(project, "us-east-1", endpoint=instance_type)
