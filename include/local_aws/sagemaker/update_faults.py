"""Failures of an endpoint's next update that were asked for, to try what handles them."""

from dataclasses import dataclass

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document

_STATUSES = ("Failed", "UpdateRollbackFailed")


@dataclass(frozen=True)
class Fault:
    """The status in which an update ends, and the failure reason."""

    status: str
    reason: str

    @property
    def mixes_fleets(self) -> bool:
        """Whether old and new fleet go on serving side by side, as AWS says of UpdateRollbackFailed."""
        return self.status == "UpdateRollbackFailed"


class UpdateFaults:
    """The faults that wait for an update, by endpoint."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}

    def plan(self, endpoint: str, request: Document) -> None:
        """Have an endpoint's next update end in ``EndpointStatus``, with ``FailureReason`` if given.

        :raises AwsError: ValidationException for a status in which no update can be made to end
        """
        status = request.get("EndpointStatus")
        if status not in _STATUSES:
            raise AwsError(
                "ValidationException",
                f"EndpointStatus must be one of {', '.join(_STATUSES)}, and is {status!r}.",
            )
        reason = request.get("FailureReason", f"Local AWS was asked to end this update as {status}.")
        self._faults[endpoint] = Fault(status, reason)

    def take(self, endpoint: str) -> Fault | None:
        """Return an endpoint's fault, which is used up by that."""
        return self._faults.pop(endpoint, None)

    def forget(self, endpoint: str) -> None:
        """Drop the fault of an endpoint that is deleted."""
        self._faults.pop(endpoint, None)
