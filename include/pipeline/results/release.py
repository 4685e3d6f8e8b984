"""What is live, how it scales, and how it answers."""

from __future__ import annotations

from pydantic import Field

from include.aws.documents import AwsRequest
from include.pipeline.pages.documents import Document


class LiveRelease(Document):
    """An endpoint configuration with its model, and a version of the function."""

    endpoint_config: str
    model: str
    """The name of the SageMaker model."""
    artifact: str
    """The S3 URI of ``model.tar.gz``."""
    inputs: str | None
    """A digest of what the model was made from; None if the pipeline did not create the model."""
    function_version: str | None
    """None if the alias of the function does not exist."""


class GoodRelease(LiveRelease):
    """A release that has passed its smoke test."""

    since: str | None
    """When it passed (ISO); None if that is not recorded."""


class Scaling(Document):
    """How the endpoint scales."""

    min_capacity: int
    """In instances; likewise ``max_capacity``."""
    max_capacity: int
    suspended: dict[str, bool]
    """By kind of scaling."""
    policies: dict[str, AwsRequest]
    """By name, the members of the request that creates each scaling policy."""
    scheduled: dict[str, AwsRequest]
    """The same of each scheduled action."""

    @property
    def is_suspended(self) -> bool:
        """Whether all kinds are suspended, as only an update of the pipeline does."""
        return all(self.suspended.values())


class ReleaseState(Document):
    """The result of the task ``read_live``: the state at the start of a run."""

    serving: LiveRelease | None
    """The live release; None if no endpoint is in service."""
    good: GoodRelease | None
    """The last release that has passed its smoke test."""
    scaling: Scaling | None


class FunctionVersion(Document):
    """The result of the task ``deploy_function``."""

    function: str
    version: str


class Prediction(Document):
    """A class and its probability."""

    label: str
    probability: float


class FunctionAnswer(Document):
    """What the function answers to one image; the result of the task ``invoke_version``."""

    model: str
    predictions: list[Prediction]
    """The most probable class first."""


class SmokeTestRequest(Document):
    """One request of a smoke test."""

    image: str = ""
    """The path of the image in the data set."""
    truth: str
    label: str
    probability: float
    milliseconds: float
    picture: str | None = None
    """A thumbnail as a ``data:`` URI."""

    @property
    def right(self) -> bool:
        """Whether the prediction is the true class."""
        return self.label == self.truth


class SmokeTestResult(Document):
    """The result of the task ``smoke_test``."""

    accuracy: float
    """On the images that were sent."""
    milliseconds_p95: float | None = None
    requests: list[SmokeTestRequest]
    compared: int | None = None
    """The number of images for which the evaluation recorded a prediction."""
    largest_difference: float | None = None
    """Of a probability from the recorded one."""

    @property
    def right(self) -> int:
        """The number of correct predictions."""
        return sum(request.right for request in self.requests)


class CleanUp(Document):
    """The result of the task ``clean_up``."""

    deleted: list[str] = Field([])
    """The names of deleted endpoint configurations and models."""
    pruned_versions: list[int] = Field([])
    """The versions of deleted model packages."""
