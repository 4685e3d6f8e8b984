"""The AWS Deep Learning Containers that a project's jobs and endpoint run in."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from include.pipeline.settings import Project

# The newest PyTorch that AWS offers an inference image for; training uses the same, so that what one saves the
# other reads.
PYTORCH, PYTHON = "2.6.0", "py312"
GPU_FAMILIES = ("g", "p")
"""The first letters of the instance types that have NVIDIA GPUs, as in the SageMaker SDK."""
AWS_FAMILIES = ("inf", "trn")
TABLE = Path(__file__).with_name("images.json")
"""For each kind of image, the URI of its repository by region. ``include/laptop/image_table.py`` writes it."""


class Images(BaseModel):
    """One image address for each kind of job, for its instance type (CPU or GPU)."""

    tuning: str
    training: str
    processing: str
    inference: str


def container_images(project: Project, region: str) -> Images:
    """Return the images for the instance types of a project. Nothing is asked over the network.

    :raises ValueError: if the region has no image.
    """

    def image(scope: str, instance_type: str) -> str:
        found = repositories()[scope]
        if region not in found:
            raise ValueError(
                f"AWS has no image for {scope} with PyTorch {PYTORCH} in the region {region}. "
                f"Choose one of {', '.join(found)}."
            )
        return f"{found[region]}:{PYTORCH}-{processor(instance_type)}-{PYTHON}"

    return Images(
        tuning=image("training", project.tuning.instance_type),
        training=image("training", project.training.instance_type),
        processing=image("training", project.processing.instance_type),
        inference=image("inference", project.endpoint.instance_type),
    )


def processor(instance_type: str) -> str:
    """Return ``gpu`` or ``cpu`` for an instance type such as ``ml.g4dn.xlarge``.

    :raises ValueError: if it has an accelerator of AWS's own.
    """
    family = instance_type.removeprefix("ml.")
    if family.startswith(AWS_FAMILIES):
        raise ValueError(
            f"{instance_type} has AWS's own accelerator, for which there is no image here. "
            "Choose an instance type with CPUs alone or with NVIDIA GPUs."
        )
    return "gpu" if family.startswith(GPU_FAMILIES) else "cpu"


@functools.cache
def repositories() -> Mapping[str, Mapping[str, str]]:
    """Return the URI of the repository for each kind of image and region."""
    table: dict[str, dict[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
