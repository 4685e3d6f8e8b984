"""The container images: those that the SageMaker SDK names, without the SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sagemaker.core import image_uris

from include.laptop.image_table import table
from include.pipeline.images import PYTHON, PYTORCH, TABLE, Images, container_images
from include.pipeline.settings import PROJECTS_FOLDER, Project, load_project

REGIONS = ("us-east-1", "eu-west-1", "af-south-1", "cn-north-1", "us-gov-west-1", "il-central-1")
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


def test_the_table_is_that_of_the_sdk() -> None:
    assert json.loads(TABLE.read_text(encoding="utf-8")) == table()


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("instance_type", INSTANCE_TYPES)
def test_an_image_is_the_one_that_the_sdk_chooses(project: Project, region: str, instance_type: str) -> None:
    def chosen(scope: str) -> str:
        uri: str = image_uris.retrieve(
            "pytorch",
            region,
            version=PYTORCH,
            py_version=PYTHON,
            instance_type=instance_type,
            image_scope=scope,
        )
        return uri

    found = images(project, region, training=instance_type, endpoint=instance_type)
    assert (found.training, found.inference) == (chosen("training"), chosen("inference"))


def test_each_job_has_the_image_for_its_own_instance_type(project: Project) -> None:
    found = images(project, "us-east-1", tuning="ml.g4dn.xlarge")
    assert ["-gpu-" in image for image in (found.tuning, found.training, found.processing)] == [
        True,
        False,
        False,
    ]


def test_a_region_without_an_image_is_refused_with_those_that_have_one(project: Project) -> None:
    with pytest.raises(ValueError, match=r"region mars-north-1\. Choose one of af-south-1, "):
        container_images(project, "mars-north-1")


@pytest.mark.parametrize("instance_type", ["ml.inf2.xlarge", "ml.trn1.2xlarge"])
def test_an_instance_type_with_an_accelerator_of_aws_is_refused(project: Project, instance_type: str) -> None:
    with pytest.raises(ValueError, match=f"{instance_type} has AWS's own accelerator"):
        images(project, "us-east-1", training=instance_type)
