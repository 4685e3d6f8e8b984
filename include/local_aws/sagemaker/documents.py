"""The store of SageMaker's resources: a document for each resource, with its tags."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.core.resource_tagging import TaggedResource

from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError

Document = dict[str, Any]
"""A resource as Describe returns it (times in epoch seconds), with its ``Tags``."""

ACTIVE = ("InProgress", "Stopping")
"""The states of a job that has not ended."""


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its name in operations, in ARNs and in sentences."""

    name: str
    arn_type: str
    phrase: str
    is_job: bool = False
    newest_first: bool = False
    sorted_by: str = "CreationTime"
    missing: str = 'Could not find {phrase} "{arn}".'
    missing_code: str = "ValidationException"
    taken: str = 'Cannot create already existing {phrase} "{arn}".'

    @property
    def name_member(self) -> str:
        return f"{self.name}Name"

    @property
    def arn_member(self) -> str:
        return f"{self.name}Arn"

    @property
    def status_member(self) -> str:
        return f"{self.name}Status"


TRAINING_JOB = Kind(
    "TrainingJob",
    "training-job",
    "training job",
    is_job=True,
    missing="Requested resource not found.",
    taken="Training job names must be unique within an AWS account and region, and a training job with this name "
    "already exists ({arn})",
)
PROCESSING_JOB = Kind(
    "ProcessingJob",
    "processing-job",
    "processing job",
    is_job=True,
    missing="Could not find requested job with name: {name}",
    taken="Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
)
TUNING_JOB = Kind(
    "HyperParameterTuningJob",
    "hyper-parameter-tuning-job",
    "hyperparameter tuning job",
    is_job=True,
    sorted_by="Name",
    missing="Amazon SageMaker can't find a tuning job called {name}. Type another name.",
    missing_code="ResourceNotFound",
    taken="A hyperparameter tuning job with the name, {name}, already exists. Choose a different name.",
)
MODEL = Kind("Model", "model", "model", newest_first=True)
ENDPOINT_CONFIG = Kind("EndpointConfig", "endpoint-config", "endpoint configuration", newest_first=True)
ENDPOINT = Kind("Endpoint", "endpoint", "endpoint", newest_first=True)
NOTEBOOK_INSTANCE = Kind(
    "NotebookInstance",
    "notebook-instance",
    "notebook instance",
    sorted_by="Name",
    missing="RecordNotFound",
    taken="Cannot create a duplicate Notebook Instance ({arn})",
)
LIFECYCLE_CONFIG = Kind(
    "NotebookInstanceLifecycleConfig",
    "notebook-instance-lifecycle-config",
    "notebook instance lifecycle config",
    missing="Unable to describe Notebook Instance Lifecycle Config '{arn}'. "
    "(Details: Notebook Instance Lifecycle Config does not exist.)",
    taken="Unable to create Notebook Instance Lifecycle Config {arn}. "
    "(Details: Notebook Instance Lifecycle Config already exists.)",
)
KINDS = (
    TRAINING_JOB,
    PROCESSING_JOB,
    TUNING_JOB,
    MODEL,
    ENDPOINT_CONFIG,
    ENDPOINT,
    NOTEBOOK_INSTANCE,
    LIFECYCLE_CONFIG,
)


class Documents:
    """All resources of one account in one region; safe to use from several threads."""

    def __init__(self, config: Config) -> None:
        self._region = config.region
        self._lock = threading.RLock()
        self._documents: dict[Kind, dict[str, Document]] = {kind: {} for kind in KINDS}

    def create(self, kind: Kind, request: Document, **live: Any) -> Document:
        """Store a resource: the caller's request and the live fields.

        :raises AwsError: if the name exists already
        """
        name = request[kind.name_member]
        arn = self._arn(kind, name)
        now = time.time()
        with self._lock:
            if name in self._documents[kind]:
                code = "ResourceInUse" if kind.is_job else "ValidationException"
                raise AwsError(code, kind.taken.format(phrase=kind.phrase, arn=arn, name=name))
            document = {
                **request,
                kind.arn_member: arn,
                "CreationTime": now,
                "LastModifiedTime": now,
                **live,
            }
            self._documents[kind][name] = document
        return document

    def get(self, kind: Kind, name: str, missing: str | None = None) -> Document:
        """Return a resource.

        :param missing: the message if it does not exist, instead of that of the kind
        :raises AwsError: if it does not exist
        """
        with self._lock:
            document = self._documents[kind].get(name)
        if document is None:
            message = (missing or kind.missing).format(
                phrase=kind.phrase, arn=self._arn(kind, name), name=name
            )
            raise AwsError(kind.missing_code, message)
        return document

    def delete(self, kind: Kind, name: str) -> None:
        """Delete a resource and its tags.

        :raises AwsError: if it does not exist
        """
        with self._lock:
            self.get(kind, name)
            del self._documents[kind][name]

    def all(self, kind: Kind) -> list[Document]:
        """Return all resources of a kind, oldest first."""
        with self._lock:
            return list(self._documents[kind].values())

    def update(self, document: Document, **live: Any) -> None:
        """Change fields and the time of the last change."""
        with self._lock:
            document.update(live, LastModifiedTime=time.time())

    def mark_stopping(self, kind: Kind, name: str, missing: str | None = None) -> Document:
        """Set the status of a job to Stopping, and return the job.

        :param missing: as of :meth:`get`
        :raises AwsError: if it does not exist, or has ended
        """
        with self._lock:
            job = self.get(kind, name, missing)
            status = job[kind.status_member]
            if status not in ACTIVE:
                raise AwsError(
                    "ValidationException",
                    f"The request was rejected because the {kind.phrase} is in status {status}.",
                )
            self.update(job, **{kind.status_member: "Stopping"})
        return job

    def tagged(self) -> Iterator[TaggedResource]:
        """Return the ARN, tags and type of each resource."""
        for kind in KINDS:
            for document in self.all(kind):
                tags = {tag["Key"]: tag["Value"] for tag in document.get("Tags", [])}
                yield TaggedResource(document[kind.arn_member], tags, f"sagemaker:{kind.arn_type}")

    def check_arn(self, arn: str) -> None:
        """Check that the resource of an ARN exists, if it is of one of these kinds.

        :raises AwsError: if it does not exist
        """
        arn_type, _, name = arn.rpartition(":")[2].partition("/")
        for kind in KINDS:
            if kind.arn_type == arn_type and self._by_arn(arn) is None:
                self.get(kind, f"{name} ({arn})" if self._arn(kind, name) != arn else name)

    def tags(self, arn: str) -> list[Document] | None:
        """Return the tags of a resource, or None if it is not here."""
        document = self._by_arn(arn)
        return None if document is None else document.get("Tags", [])

    def set_tags(self, arn: str, tags: list[Document]) -> None:
        """Replace the tags of a resource."""
        document = self._by_arn(arn)
        if document is not None:
            document["Tags"] = tags

    def _by_arn(self, arn: str) -> Document | None:
        for kind in KINDS:
            for document in self.all(kind):
                if document[kind.arn_member] == arn:
                    return document
        return None

    def _arn(self, kind: Kind, name: str) -> str:
        return f"arn:aws:sagemaker:{self._region}:{ACCOUNT_ID}:{kind.arn_type}/{name}"
