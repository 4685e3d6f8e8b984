"""Tag a job that Airflow stops because its task was killed, to distinguish it from a job that a user stopped."""

from __future__ import annotations

KEY, VALUE = "stopped-by", "airflow"


def arn_key(name_key: str) -> str:
    """Return the key of a job's ARN in its description, such as ``TrainingJobArn`` for ``TrainingJobName``."""
    return name_key.removesuffix("Name") + "Arn"


def marked(tags: list[dict[str, str]]) -> list[dict[str, str]]:
    """
    Return the tags to add to a job: the mark and the existing tags.

    Airflow's IAM policy allows the request only if it repeats the tag ``managed-by``.
    """
    return [
        *(tag for tag in tags if tag["Key"] != KEY and not tag["Key"].startswith("aws:")),
        {"Key": KEY, "Value": VALUE},
    ]


def is_marked(tags: list[dict[str, str]]) -> bool:
    """Return whether the mark is among a job's tags."""
    return {"Key": KEY, "Value": VALUE} in tags
