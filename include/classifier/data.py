"""The data set on disk, and the one set of transforms that training, evaluation and serving share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from errors import ClassifierError
from images import open_image
from PIL import Image

SPLITS = ("train", "valid", "test")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")

Transform = Callable[[Image.Image], np.ndarray]


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel (red, green, blue), of values from 0 to 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, image: Image.Image) -> np.ndarray:
        """Return the RGB image as float32 of shape 3 x height x width, normalised."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        pixels = (np.asarray(image, np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


class EvalTransform:
    """The deterministic view of an image: resize the short side, crop the centre, normalise.

    Equal to torchvision's Resize, CenterCrop, ToTensor and Normalize. Written with Pillow and NumPy alone,
    so that a process that only serves or evaluates through ONNX Runtime need not import torch (4 to 10 s).

    :param image_size: side of the square that the model sees, in pixels.
    """

    def __init__(self, image_size: int, normalisation: Normalisation) -> None:
        self.image_size = image_size
        self.short_side = round(image_size * 256 / 224)
        self.normalisation = normalisation

    def __call__(self, image: Image.Image) -> np.ndarray:
        width, height = image.size
        short = min(width, height)
        size = (int(self.short_side * width / short), int(self.short_side * height / short))
        resized = image.resize(size, Image.Resampling.BILINEAR)
        left = round((size[0] - self.image_size) / 2.0)
        top = round((size[1] - self.image_size) / 2.0)
        square = resized.crop((left, top, left + self.image_size, top + self.image_size))
        return self.normalisation.apply(square)


class TrainTransform:
    """The augmented view of an image: a random crop of it, resized, mirrored half of the time, normalised."""

    def __init__(self, image_size: int, normalisation: Normalisation) -> None:
        from torchvision import transforms  # here, for the same reason as in EvalTransform

        self.augment = transforms.Compose(
            [transforms.RandomResizedCrop(image_size), transforms.RandomHorizontalFlip()]
        )
        self.normalisation = normalisation

    def __call__(self, image: Image.Image) -> np.ndarray:
        return self.normalisation.apply(self.augment(image))


@dataclass(frozen=True)
class Split:
    """One split of the data set: file `paths[i]` shows class `classes[labels[i]]`."""

    name: str
    classes: list[str]
    paths: list[Path]
    labels: list[int]


class ImageDataset:
    """The images of a split as (float32 array of 3 x S x S, label), for a PyTorch DataLoader."""

    def __init__(self, split: Split, transform: Transform) -> None:
        self.split = split
        self.transform = transform

    def __len__(self) -> int:
        return len(self.split.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.transform(open_image(self.split.paths[index])), self.split.labels[index]


def read_split(directory: Path, name: str | None = None) -> Split:
    """List a folder that holds one folder of images per class, sorted by name.

    :param name: what messages call the split; the folder's name unless given.
    :raises ClassifierError: the folder is missing, holds fewer than two classes, or a class has no image.
    """
    name = name or directory.name
    if not directory.is_dir():
        raise ClassifierError(
            f"The {name} split is missing: there is no folder {directory}. "
            "The data must hold one folder per split, and in it one folder of images per class."
        )
    folders = sorted(p for p in directory.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise ClassifierError(
            f"The {name} split has {len(folders)} class folder(s) in {directory}; "
            "a classifier needs at least two."
        )
    paths: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(p for p in folder.rglob("*") if _is_image(p))
        if not found:
            raise ClassifierError(
                f"The class {folder.name} has no image in the {name} split ({folder}); "
                f"add at least one file ({', '.join(EXTENSIONS)}) or remove the class from every split."
            )
        paths += found
        labels += [label] * len(found)
    return Split(name, [folder.name for folder in folders], paths, labels)


def read_splits(directory: Path, names: Sequence[str] = SPLITS) -> dict[str, Split]:
    """List several splits of one data set, which must have the same classes.

    :raises ClassifierError: as read_split, or the classes of two splits differ.
    """
    splits = {name: read_split(directory / name) for name in names}
    first = splits[names[0]]
    for split in splits.values():
        different = sorted(set(first.classes) ^ set(split.classes))
        if different:
            raise ClassifierError(
                f"The splits {first.name} and {split.name} have different classes; in one of them only: "
                f"{', '.join(different[:5])}. Every split needs every class."
            )
    return splits


def _is_image(path: Path) -> bool:
    # Archives made on macOS hold a "._name.jpg" beside each file, which is no image.
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
