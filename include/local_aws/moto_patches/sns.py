"""SNS: refuse a message with the errors of AWS."""

from typing import Any

from moto.sns.exceptions import SNSInvalidParameter, TopicNotFound
from moto.sns.models import SNSBackend

from include.local_aws.moto_patches import original, replace

_MAX_SUBJECT = 100
_MAX_MESSAGE_BYTES = 256 * 1024

_publish_by_moto = original(SNSBackend, "publish")


def apply() -> None:
    """Replace the method."""
    replace(SNSBackend, "publish", _publish)


def _publish(backend: SNSBackend, message: str, arn: str | None, **members: Any) -> str:
    if arn and ":endpoint/" not in arn and arn not in backend.topics:
        raise TopicNotFound()
    subject = members.get("subject")
    if subject is not None and not (0 < len(subject) <= _MAX_SUBJECT and subject.isprintable()):
        raise SNSInvalidParameter("Invalid parameter: Subject")
    if arn and len(message.encode()) > _MAX_MESSAGE_BYTES:
        raise SNSInvalidParameter("Invalid parameter: Message too long")
    return _publish_by_moto(backend, message, arn, **members)
