"""The error that says what is wrong with a data set."""

from __future__ import annotations

from include.pipeline.errors import PermanentError


class DatasetError(PermanentError):
    """A data set that can't be used; the message says which file or folder is wrong, and how.

    :param report: the URI of the data report, where there is one.
    """

    def __init__(self, message: str, report: str | None = None) -> None:
        super().__init__(message)
        self.report = report


class LayoutError(DatasetError):
    """Folders that were read and have no meaning, or more than one."""
