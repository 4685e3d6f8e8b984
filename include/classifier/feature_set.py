"""The files that features.py writes and train.py reads: one .npz per split and features.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from errors import ClassifierError


@dataclass(frozen=True)
class FeatureSetInfo:
    """What features.json says: of which images, by which backbone.

    :param counts: images in each split.
    :param dimensions: length of a feature vector.
    :param pretrained_sha256: sha256 of the weights file that the backbone was loaded from.
    """

    architecture: str
    image_size: int
    dimensions: int
    pretrained_sha256: str
    classes: list[str]
    counts: dict[str, int]

    def write(self, directory: Path) -> None:
        (directory / "features.json").write_text(json.dumps(asdict(self), indent=2))


def write_split(directory: Path, name: str, features: np.ndarray, labels: list[int]) -> None:
    """Write one split: x, float32 N x D, and y, int64 N."""
    np.savez(directory / f"{name}.npz", x=features.astype(np.float32), y=np.asarray(labels, np.int64))


def read_info(directory: Path) -> FeatureSetInfo:
    """Read features.json.

    :raises ClassifierError: it is missing or not what features.py writes.
    """
    path = directory / "features.json"
    try:
        return FeatureSetInfo(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ClassifierError(f"{path} is missing or was not written by features.py ({error}).") from None


def read_split(directory: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one split's features (float32 N x D) and labels (int64 N).

    :raises ClassifierError: the file is missing or not what features.py writes.
    """
    path = directory / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError) as error:
        raise ClassifierError(f"{path} is missing or was not written by features.py ({error}).") from None
