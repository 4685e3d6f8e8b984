"""Determine whether the pipeline works against AWS or against the local AWS of this repository."""

import os

TARGET_VARIABLE = "IMAGE_CLASSIFIER_TARGET"


def is_local() -> bool:
    """Return True if ``make up``, ``make demo`` or the Compose profile ``local`` started the stack.

    :raises ValueError: if the variable is neither ``aws`` nor ``local``.
    """
    value = os.environ.get(TARGET_VARIABLE, "aws")
    if value not in ("aws", "local"):
        raise ValueError(f"{TARGET_VARIABLE} is {value!r}; allowed: aws, local.")
    return value == "local"
