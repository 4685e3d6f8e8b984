"""Deletion of the records of jobs that have ended."""

from collections.abc import Callable

from include.local_aws.errors import AwsError
from include.local_aws.operations import Handler
from include.local_aws.sagemaker.documents import (
    ACTIVE,
    PROCESSING_JOB,
    TRAINING_JOB,
    TUNING_JOB,
    Document,
    Documents,
    Kind,
)


class JobRecords:
    """The operations that delete a job; its name can be given again."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.operations: dict[str, Handler] = {
            f"Delete{kind.name}": self._delete(kind) for kind in (TRAINING_JOB, PROCESSING_JOB, TUNING_JOB)
        }

    def _delete(self, kind: Kind) -> Callable[[Document], Document]:
        def delete(request: Document) -> Document:
            name = request[kind.name_member]
            job = self._documents.get(kind, name)
            if job[kind.status_member] in ACTIVE:
                code = "ValidationException" if kind is TUNING_JOB else "ResourceInUse"
                raise AwsError(code, f"The {kind.phrase} {name} is not in a terminal state.")
            if job.get("WarmPoolStatus", {}).get("Status") == "Available":
                raise AwsError(
                    "ResourceInUse", f"The {kind.phrase} {name} retains a warm pool; end that first."
                )
            self._documents.delete(kind, name)
            return {}

        return delete
