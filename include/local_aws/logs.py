"""The reach into moto's CloudWatch Logs: a stream that does not exist is told from a group that does not."""

from typing import Any

from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import LogGroup
from werkzeug.wrappers import Request, Response

_get_by_moto = LogGroup.get_log_events
_delete_by_moto = LogGroup.delete_log_stream


class Logs:
    """CloudWatch Logs, which moto answers."""

    def __init__(self) -> None:
        LogGroup.get_log_events = _get_log_events  # type: ignore[method-assign, assignment]
        LogGroup.delete_log_stream = _delete_log_stream  # type: ignore[method-assign, assignment]

    def respond(self, request: Request) -> Response | None:
        """Leave every request to moto."""
        return None

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""


def _get_log_events(group: LogGroup, log_stream_name: str, *arguments: Any, **members: Any) -> Any:
    _check_stream(group, log_stream_name)
    return _get_by_moto(group, log_stream_name, *arguments, **members)


def _delete_log_stream(group: LogGroup, log_stream_name: str) -> None:
    _check_stream(group, log_stream_name)
    _delete_by_moto(group, log_stream_name)


def _check_stream(group: LogGroup, name: str) -> None:
    if name not in group.streams:
        raise ResourceNotFoundException("The specified log stream does not exist.")
