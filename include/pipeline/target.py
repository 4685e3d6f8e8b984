"""Whether the pipeline works against AWS or against the local AWS of this repository."""

import os

TARGET_VARIABLE = "IMAGE_CLASSIFIER_TARGET"


def is_local() -> bool:
    """True where the stack was started by ``make up``, ``make demo`` or compose's profile ``local``.

    :raises ValueError: if the variable holds anything but ``aws`` or ``local``.
    """
    value = os.environ.get(TARGET_VARIABLE, "aws")
    if value not in ("aws", "local"):
        raise ValueError(f"{TARGET_VARIABLE} is {value!r}; allowed: aws, local.")
    return value == "local"
