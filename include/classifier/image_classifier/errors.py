"""Errors whose message is a sentence for the person who must act."""

import sys
from collections.abc import Callable


class ClassifierError(ValueError):
    """Something about the data, the model or the settings that a person can put right."""


class RequestError(ClassifierError):
    """A request that is the caller's mistake.

    :param message: what was wrong and what to do, shown to the caller.
    :param status: the HTTP status to answer, 400 to 499.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def run_program(main: Callable[[], None]) -> None:
    """Run a script's main function; on a ClassifierError print its sentence and exit with status 1.

    Any other exception is a bug and keeps its traceback.
    """
    try:
        main()
    except ClassifierError as error:
        # The SageMaker training toolkit copies standard error into the job's failure reason
        # from the first line that names a built-in exception, so the line must name one.
        sys.exit(f"ValueError: {error}")
