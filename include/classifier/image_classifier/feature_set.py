"""The files that features.py writes and train.py reads: an .npz per split and view, and features.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .errors import ClassifierError


@dataclass(frozen=True)
class FeatureSetInfo:
    """What features.json says: of which images, by which backbone.

    :param counts: images in each split.
    :param dimensions: length of a feature vector.
    :param pretrained_sha256: sha256 of the weights file that the backbone was loaded from.
    :param augmented_views: how many augmented views of each train image there are, besides the deterministic one.
    """

    architecture: str
    image_size: int
    dimensions: int
    pretrained_sha256: str
    classes: list[str]
    counts: dict[str, int]
    augmented_views: int = 0

    def write(self, directory: Path) -> None:
        (directory / "features.json").write_text(json.dumps(asdict(self), indent=2))


def write_split(directory: Path, name: str, features: np.ndarray, labels: list[int], view: int = 0) -> None:
    """Write one view of a split: x, float32 N x D, and y, int64 N.

    :param view: 0 for the deterministic view, of which the file has the split's name; from 1 for augmented ones.
    """
    np.savez(_path(directory, name, view), x=features.astype(np.float32), y=np.asarray(labels, np.int64))


def read_info(directory: Path) -> FeatureSetInfo:
    """Read features.json.

    :raises ClassifierError: it is missing or not what features.py writes.
    """
    path = directory / "features.json"
    try:
        return FeatureSetInfo(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ClassifierError(f"{path} is missing or was not written by features.py ({error}).") from None


def read_split(directory: Path, name: str, view: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Read the features (float32 N x D) and labels (int64 N) of one view of a split.

    :raises ClassifierError: the file is missing or not what features.py writes.
    """
    path = _path(directory, name, view)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError) as error:
        raise ClassifierError(f"{path} is missing or was not written by features.py ({error}).") from None


def _path(directory: Path, name: str, view: int) -> Path:
    return directory / (f"{name}.view{view}.npz" if view else f"{name}.npz")
