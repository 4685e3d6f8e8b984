"""What the steps of the workspace and of the teardown return."""

from __future__ import annotations

from include.pipeline.pages.documents import Document


class PreparedWorkspace(Document):
    """The result of the task ``prepare`` of the workspace."""

    role: str
    """The ARN of the notebook instance's role."""
    archive: str
    """The S3 URI of the archive that the instance downloads when it starts."""
    region: str


class Resource(Document):
    """An existing resource of a project."""

    what: str
    """Its kind."""
    name: str


class PlannedResource(Resource):
    """A resource in the result of the task ``find``."""

    then: str
    """What a teardown does with it."""
