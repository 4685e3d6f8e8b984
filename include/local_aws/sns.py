"""The reach into moto's SNS: Publish is refused in AWS's words."""

from typing import Any

from moto.sns.exceptions import SNSInvalidParameter, TopicNotFound
from moto.sns.models import SNSBackend
from werkzeug.wrappers import Request, Response

_MAX_SUBJECT = 100
_MAX_MESSAGE_BYTES = 256 * 1024

_publish_by_moto = SNSBackend.publish


class SNS:
    """SNS, which moto answers."""

    def __init__(self) -> None:
        SNSBackend.publish = _publish  # type: ignore[method-assign, assignment]

    def respond(self, request: Request) -> Response | None:
        """Leave every request to moto."""
        return None

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""


def _publish(backend: SNSBackend, message: str, arn: str | None, **members: Any) -> str:
    if arn and ":endpoint/" not in arn and arn not in backend.topics:
        raise TopicNotFound()
    subject = members.get("subject")
    if subject is not None and not (0 < len(subject) <= _MAX_SUBJECT and subject.isprintable()):
        raise SNSInvalidParameter("Invalid parameter: Subject")
    if arn and len(message.encode()) > _MAX_MESSAGE_BYTES:
        raise SNSInvalidParameter("Invalid parameter: Message too long")
    return _publish_by_moto(backend, message, arn, **members)
