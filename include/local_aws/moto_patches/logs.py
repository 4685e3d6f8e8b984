"""CloudWatch Logs: name the log stream that does not exist, and refuse a retention that AWS does not have."""

from typing import Any

from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogGroup

from include.local_aws.moto_patches import original, replace

_get_by_moto = original(LogGroup, "get_log_events")
_delete_by_moto = original(LogGroup, "delete_log_stream")
_retain_by_moto = original(LogGroup, "set_retention_policy")

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
# fmt: off
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)
# fmt: on


def apply() -> None:
    """Replace the methods."""
    replace(LogGroup, "get_log_events", _get_log_events)
    replace(LogGroup, "delete_log_stream", _delete_log_stream)
    replace(LogGroup, "set_retention_policy", _set_retention_policy)


def _get_log_events(group: LogGroup, log_stream_name: str, *arguments: Any, **members: Any) -> Any:
    _check_stream(group, log_stream_name)
    return _get_by_moto(group, log_stream_name, *arguments, **members)


def _delete_log_stream(group: LogGroup, log_stream_name: str) -> None:
    _check_stream(group, log_stream_name)
    _delete_by_moto(group, log_stream_name)


def _set_retention_policy(group: LogGroup, days: int | None) -> None:
    """Set the retention; None removes it, as DeleteRetentionPolicy does."""
    if days is not None and days not in RETENTION_DAYS:
        constraint = f"Member must satisfy enum value set: [{', '.join(map(str, RETENTION_DAYS))}]"
        raise InvalidParameterException(constraint=constraint, parameter="retentionInDays", value=days)
    _retain_by_moto(group, days)


def _check_stream(group: LogGroup, name: str) -> None:
    if name not in group.streams:
        raise ResourceNotFoundException("The specified log stream does not exist.")
