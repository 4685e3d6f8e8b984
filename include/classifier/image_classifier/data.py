"""The data set on disk, and the one set of transforms that training, evaluation and serving share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import ClassifierError
from .image_files import EXTENSIONS, is_litter
from .images import open_image

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel (red, green, blue), of values from 0 to 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, image: Image.Image) -> np.ndarray:
        """Return the RGB image as float32 of shape 3 x height x width, normalized."""
        pixels = np.asarray(image)
        normalized = np.empty((3, image.height, image.width), np.float32)
        # One multiplication and one addition per value, channel by channel: a tenth of the time that
        # dividing by 255, subtracting, dividing and transposing the whole image take one after the other.
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            np.multiply(pixels[:, :, channel], np.float32(1 / (255 * std)), out=normalized[channel])
            normalized[channel] -= np.float32(mean / std)
        return normalized


class EvalTransform:
    """The deterministic view of an image: resize the short side, crop the center, normalize.

    As torchvision's Resize, CenterCrop, ToTensor and Normalize; some values differ by one level of 255,
    because only the square that is kept is resized. Written with Pillow and NumPy alone, so that a process
    that only serves or evaluates through ONNX Runtime need not import torch (4 to 10 s).

    :param image_size: side of the square that the model sees, in pixels.
    """

    def __init__(self, image_size: int, normalization: Normalization) -> None:
        self.image_size = image_size
        self.short_side = round(image_size * 256 / 224)
        self.normalization = normalization

    def load(self, source: bytes | Path) -> np.ndarray:
        """Open an encoded image, no larger than needed, and return its view: float32, 3 x S x S.

        Features, validation, evaluation and serving all come through here, so that they see the same pixels.

        :raises ImageError: as images.open_image.
        """
        return self(open_image(source, self.short_side))

    def __call__(self, image: Image.Image) -> np.ndarray:
        width, height = image.size
        short = min(width, height)
        size = (int(self.short_side * width / short), int(self.short_side * height / short))
        left = round((size[0] - self.image_size) / 2.0)
        top = round((size[1] - self.image_size) / 2.0)
        box = (left, top, left + self.image_size, top + self.image_size)
        return self.normalization.apply(image.crop(box) if size == image.size else _resize(image, size, box))


def _resize(image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Return the part of the resized image that lies in the box, without computing the rest."""
    horizontal, vertical = image.width / size[0], image.height / size[1]
    left, top, right, bottom = box
    return image.resize(
        (right - left, bottom - top),
        Image.Resampling.BILINEAR,
        box=(left * horizontal, top * vertical, right * horizontal, bottom * vertical),
    )


class TrainTransform:
    """The augmented view of an image: a random part of it, resized, mirrored half of the time, normalized.

    The part has 8 to 100 % of the image's area and an aspect ratio from 3:4 to 4:3 (Szegedy et al. 2015,
    "Going Deeper with Convolutions", section 6), as that of torchvision's RandomResizedCrop. That one draws
    from the generator of the whole process, which threads and loading processes would use in any order.

    :param image_size: side of the square that the model sees, in pixels.
    """

    def __init__(self, image_size: int, normalization: Normalization) -> None:
        self.image_size = image_size
        self.normalization = normalization

    def __call__(self, image: Image.Image, random: np.random.Generator) -> np.ndarray:
        size = (self.image_size, self.image_size)
        view = image.resize(size, Image.Resampling.BILINEAR, box=self.draw_box(image.size, random))
        if random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return self.normalization.apply(view)

    @staticmethod
    def draw_box(size: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw a part of an image of this width and height: left, top, right and bottom, in pixels."""
        width, height = size
        for _ in range(10):
            area = width * height * random.uniform(0.08, 1)
            ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
            part = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < part[0] <= width and 0 < part[1] <= height:
                left, top = random.integers(0, (width - part[0] + 1, height - part[1] + 1))
                return int(left), int(top), int(left) + part[0], int(top) + part[1]
        # A long, narrow image: of its middle, as much as the aspect ratio allows.
        part = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - part[0]) // 2, (height - part[1]) // 2
        return left, top, left + part[0], top + part[1]


@dataclass(frozen=True)
class Split:
    """One split of the data set: file `paths[i]` shows class `classes[labels[i]]`."""

    name: str
    classes: list[str]
    paths: list[Path]
    labels: list[int]


class ImageDataset:
    """The images of a split as (float32 array of 3 x S x S, label), for a PyTorch DataLoader."""

    def __init__(self, split: Split, transform: EvalTransform) -> None:
        self.split = split
        self.transform = transform

    def __len__(self) -> int:
        return len(self.split.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.transform.load(self.split.paths[index]), self.split.labels[index]


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
    folders = sorted(p for p in directory.iterdir() if p.is_dir() and not is_litter(p.name))
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
                f"add at least one file ({', '.join(EXTENSIONS)}), or remove the class from every split."
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
    return path.suffix.lower() in EXTENSIONS and not is_litter(path.name) and path.is_file()
