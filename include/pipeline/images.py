"""The container images of a project: AWS's for jobs, and for the endpoint AWS's or one of our own."""

from __future__ import annotations

import re

from include.pipeline import support
from include.pipeline.pages.documents import Document
from include.pipeline.settings import RAY_IMAGE, Project

GPU_FAMILIES = ("g", "p")
"""The first letters of the instance types that have NVIDIA GPUs, as in the SageMaker SDK."""
AWS_FAMILIES = ("inf", "trn")
GRAVITON = re.compile(r"[a-z]+\d+g[a-z]*\.")
"""Families with a processor of AWS's own, such as m7g, c6gn and g5g: the images are built for x86_64."""


class Images(Document):
    """One image URI for each kind of job, for its instance type (CPU or GPU).

    :ivar inference: ``own`` where the run has not yet looked up the serving image.
    """

    tuning: str
    training: str
    processing: str
    inference: str


def container_images(project: Project, region: str) -> Images:
    """Return the newest images that the region has, for the instance types of a project.

    Nothing is asked over the network.

    :raises ValueError: if the region has no image.
    """

    def image(scope: str, instance_type: str) -> str:
        images = [image for image in support.table().images[scope] if not image.past]
        found = next((image for image in images if region in image.registries), None)
        if found is None:
            regions = sorted({region for image in images for region in image.registries})
            raise ValueError(
                f"AWS has no image for {scope} in the region {region}. Choose one of {', '.join(regions)}."
            )
        return found.uri(region, processor(instance_type))

    return Images(
        tuning=image("training", project.tuning.instance_type),
        training=image("training", project.training.instance_type),
        processing=image("training", project.processing.instance_type),
        inference=image("inference", project.endpoint.instance_type)
        if project.endpoint.image == RAY_IMAGE
        else project.endpoint.image,
    )


def processor(instance_type: str) -> str:
    """Return ``gpu`` or ``cpu`` for an instance type such as ``ml.g4dn.xlarge``.

    :raises ValueError: if it has an accelerator of AWS's own, or a processor that the images are not built for.
    """
    family = instance_type.removeprefix("ml.")
    if family.startswith(AWS_FAMILIES):
        raise ValueError(
            f"{instance_type} has AWS's own accelerator, for which there is no image here. "
            "Choose an instance type with CPUs alone or with NVIDIA GPUs."
        )
    if GRAVITON.match(family):
        raise ValueError(
            f"{instance_type} has a Graviton processor, for which there is no image here. "
            "Choose an instance type with Intel or AMD processors."
        )
    return "gpu" if family.startswith(GPU_FAMILIES) else "cpu"
