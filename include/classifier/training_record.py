"""Reads what a training job recorded of itself out of its output.tar.gz."""

import json
import posixpath
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import ClassifierError


@dataclass(frozen=True)
class TrainingRecord:
    """What train.py writes to its output.

    :param history: an object per epoch: epoch, train_loss, validation_loss, ...
    :param diagnosis: warnings as objects with check and message; None if training looked for none.
    """

    history: list[dict[str, Any]]
    diagnosis: list[dict[str, str]] | None


def read_training_record(directory: Path) -> TrainingRecord | None:
    """Read the record from a folder with output.tar.gz; None if there is no such file.

    Nothing is unpacked: the two files are read out of the archive.

    :raises ClassifierError: the archive is damaged or holds something else.
    """
    archive = directory / "output.tar.gz"
    if not archive.is_file():
        return None
    try:
        with tarfile.open(archive) as tar:
            history, diagnosis = (_read_json(tar, name) for name in ("history.json", "diagnosis.json"))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ClassifierError(f"The training's record {archive} cannot be read ({error}).") from error
    return TrainingRecord(history or [], diagnosis)


def _read_json(tar: tarfile.TarFile, name: str) -> Any:
    for member in tar:
        if member.isfile() and posixpath.normpath(member.name) == name:
            file = tar.extractfile(member)
            assert file is not None  # it is a regular file
            return json.load(file)
    return None
