"""Record the verdict of a task: one sentence at the start of its log and on its XCom tab."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "verdict"

log = logging.getLogger(__name__)


def record(context: Context, sentence: str, *details: str) -> None:
    """Log the verdict of a task, and store it as the XCom ``verdict``.

    Airflow reads printed output separately from logs. Printed lines appear after the end of the task, in the group
    "Post Execute", which the UI shows collapsed, so this function does not use ``print``.

    :param details: Lines to log after the sentence.
    """
    for line in (sentence, *details):
        log.info("%s", line)
    ti: Any = context["ti"]
    ti.xcom_push(key=KEY, value=sentence)


def skip(context: Context, reason: str) -> NoReturn:
    """Record why a task has nothing to do, and skip it.

    :raises AirflowSkipException: Always. Airflow logs its message in the group "Post Execute".
    """
    record(context, reason)
    raise AirflowSkipException(reason)
