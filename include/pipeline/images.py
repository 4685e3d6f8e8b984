"""The AWS Deep Learning Containers that a project's jobs and endpoint run in."""

from __future__ import annotations

from pydantic import BaseModel

from include.pipeline.settings import Project

# The newest PyTorch that AWS offers an inference image for; training uses the same, so that what one saves the
# other reads.
PYTORCH, PYTHON = "2.6.0", "py312"


class Images(BaseModel):
    """One image address for each kind of job, for its instance type (CPU or GPU)."""

    tuning: str
    training: str
    processing: str
    inference: str


def container_images(project: Project, region: str) -> Images:
    """Look the images up in the SageMaker SDK's own tables; nothing is asked over the network.

    :raises ValueError: if there is no image for an instance type or region.
    """
    from sagemaker.core import image_uris  # 2 s and 180 MB: never at the import of a DAG file

    def image(scope: str, instance_type: str) -> str:
        uri: str = image_uris.retrieve(
            "pytorch",
            region,
            version=PYTORCH,
            py_version=PYTHON,
            instance_type=instance_type,
            image_scope=scope,
        )
        return uri

    return Images(
        tuning=image("training", project.tuning.instance_type),
        training=image("training", project.training.instance_type),
        processing=image("training", project.processing.instance_type),
        inference=image("inference", project.endpoint.instance_type),
    )
