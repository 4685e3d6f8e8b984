"""What the steps decide, or a person does, about a candidate or about an earlier version."""

from __future__ import annotations

from include.aws.documents import AwsRequest
from include.pipeline.pages.documents import Document
from include.pipeline.results.evaluation import Evaluation


class RegisteredVersion(Document):
    """The result of the task ``register``: the candidate's model package."""

    arn: str
    version: int
    approval_status: str
    """``Approved``, ``Rejected`` or ``PendingManualApproval``, when the task read it."""


class Candidate(Document):
    """What a decision is about; the result of the task ``record_approval`` if the candidate may go live."""

    model: str
    """The name of the SageMaker model."""
    package: str
    """The ARN of the model package."""
    version: int
    evaluation: str
    """A digest of the content of ``evaluation.json``."""


class GateDecision(Document):
    """The result of the task ``gate``."""

    accepted: bool
    reason: str
    is_live: bool = False
    """Whether the candidate is the live model."""
    evaluation: Evaluation
    """Without the fields that grow with classes and images."""
    candidate: Candidate


class User(Document):
    """A user of Airflow."""

    id: str
    name: str


class UserAnswer(Document):
    """The result of the tasks ``approve`` and ``ask_for_version``."""

    chosen_options: list[str]
    responded_by_user: User | None
    """None if nobody answered in time."""
    responded_at: str
    """ISO."""
    about: Candidate | None = None
    """The subject of the question."""


class ChosenVersion(Document):
    """The result of the task ``choose_version``: the version that becomes live again."""

    warning: str | None = None
    arn: str
    """The ARN of the model package."""
    version: int
    model: AwsRequest
    """The request that creates the SageMaker model."""
    function_version: str
    """The version of the function to serve it with."""

    @property
    def model_name(self) -> str:
        """The name of the SageMaker model."""
        name: str = self.model["ModelName"]
        return name
