"""The sentence that says what a task has decided: in the task's log before anything else, and on its XCom tab."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "verdict"

log = logging.getLogger(__name__)


def record(context: Context, sentence: str, *details: str) -> None:
    """Log what a task has decided, and keep it as the XCom ``verdict``.

    Not by ``print``: Airflow reads what a task prints apart from what it logs. The lines then stand behind the end of
    the task, in the group "Post Execute", which its UI shows collapsed.

    :param details: Lines to log after the sentence.
    """
    for line in (sentence, *details):
        log.info("%s", line)
    ti: Any = context["ti"]
    ti.xcom_push(key=KEY, value=sentence)


def skip(context: Context, reason: str) -> NoReturn:
    """Record why a task has nothing to do, and skip it.

    :raises AirflowSkipException: always. Airflow logs its message in the group "Post Execute".
    """
    record(context, reason)
    raise AirflowSkipException(reason)
