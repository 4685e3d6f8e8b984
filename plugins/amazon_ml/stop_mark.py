"""Mark a job that Airflow stops because its task was killed, to tell it from a job that a person stopped."""

from __future__ import annotations

from typing import Any

KEY, VALUE = "stopped-by", "airflow"


def arn_key(name_key: str) -> str:
    """Return the key of a job's ARN in its description, such as ``TrainingJobArn`` for ``TrainingJobName``."""
    return name_key.removesuffix("Name") + "Arn"


def marked(tags: list[dict[str, str]]) -> list[dict[str, str]]:
    """
    Return the tags to add to a job: the mark, and the tags that the job has.

    Airflow's policy allows the request only if it repeats the tag ``managed-by``.
    """
    return [
        *(tag for tag in tags if tag["Key"] != KEY and not tag["Key"].startswith("aws:")),
        {"Key": KEY, "Value": VALUE},
    ]


def is_marked(tags: list[dict[str, Any]]) -> bool:
    """Return whether the mark is among a job's tags."""
    return {"Key": KEY, "Value": VALUE} in tags
