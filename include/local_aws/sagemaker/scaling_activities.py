"""The activities of Application Auto Scaling on endpoints, which DescribeScalingActivities returns."""

import threading
import time
import uuid
from collections import deque

from include.local_aws.operations import page
from include.local_aws.sagemaker.documents import Document

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_REMEMBERED = 1_000
PAGE = 50
PAGE_ERROR = "InvalidNextTokenException"


class ScalingActivities:
    """The activities of all scalable targets, the newest first; the oldest are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._activities: deque[Document] = deque(maxlen=_REMEMBERED)

    def begin(self, resource: str, count: int, cause: str) -> Document:
        """Record that a number of instances was requested, and return the activity."""
        activity = {
            "ActivityId": str(uuid.uuid4()),
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource,
            "ScalableDimension": DIMENSION,
            "Description": f"Setting desired instance count to {count}.",
            "Cause": cause,
            "StartTime": time.time(),
            "StatusCode": "InProgress",
            "StatusMessage": (
                f"Successfully set desired instance count to {count}. "
                "Waiting for change to be fulfilled by sagemaker."
            ),
        }
        with self._lock:
            self._activities.appendleft(activity)
        return activity

    def end(self, activity: Document, status: str, message: str) -> None:
        """Record how an activity ended: ``Successful`` or ``Failed``."""
        with self._lock:
            activity.update(StatusCode=status, StatusMessage=message, EndTime=time.time())

    def describe(self, request: Document) -> Document:
        """Answer DescribeScalingActivities."""
        with self._lock:
            found = [
                dict(activity)
                for activity in self._activities
                if all(
                    request.get(member, activity[member]) == activity[member]
                    for member in ("ServiceNamespace", "ResourceId", "ScalableDimension")
                )
            ]
        return page("ScalingActivities", found, request, PAGE, PAGE_ERROR)
