"""Processing job: run the frozen backbone once over every split and view, and save the features."""

import argparse
from pathlib import Path

from . import model
from .augmentation import AugmentedImages
from .data import EvalTransform, ImageDataset, TrainTransform, read_splits
from .extraction import FeatureExtractor
from .feature_set import FeatureSetInfo, write_split
from .hyperparameters import HYPERPARAMETERS

# One feature set serves trials with every seed, so the views have a seed of their own.
SEED = 0


def main() -> None:
    """Read the command line and write the feature set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, valid/ and test/")
    parser.add_argument("--pretrained", type=Path, required=True, help="folder with the backbone's weights")
    parser.add_argument("--output", type=Path, required=True)
    for name in ("architecture", "image_size"):
        known = HYPERPARAMETERS[name]
        parser.add_argument(f"--{name}", type=known.parse, default=known.default, help=known.help)
    parser.add_argument(
        "--augmented_views", type=int, default=0, help="of each train image, besides the deterministic one"
    )
    arguments = parser.parse_args()
    write_features(
        arguments.data,
        arguments.pretrained,
        arguments.output,
        arguments.architecture,
        arguments.image_size,
        arguments.augmented_views,
    )


def write_features(
    data: Path, pretrained: Path, output: Path, architecture: str, image_size: int, augmented_views: int = 0
) -> None:
    """Write the features of every split, of augmented views of train, and features.json, into a folder.

    :raises ClassifierError: the data, the weights or the architecture are not usable.
    """
    splits = read_splits(data)
    classes = splits["train"].classes
    classifier = model.build(architecture, len(classes), image_size)
    sha256 = model.load_pretrained(classifier, pretrained)
    normalization = model.normalization(architecture)
    extractor = FeatureExtractor(classifier, image_size)
    print(f"Extracting features with {architecture} by {extractor.runtime}", flush=True)
    output.mkdir(parents=True, exist_ok=True)

    for name, split in splits.items():
        images = ImageDataset(split, EvalTransform(image_size, normalization))
        features = extractor.extract(images, range(len(images)), name, _print)
        write_split(output, name, features, split.labels)
    train = splits["train"]
    augmented = AugmentedImages(train, TrainTransform(image_size, normalization), SEED)
    for view in range(1, augmented_views + 1):
        title = f"train, augmented view {view}"
        keys = [(view, index) for index in range(len(augmented))]
        features = extractor.extract(augmented, keys, title, _print)
        write_split(output, "train", features, train.labels, view)
    FeatureSetInfo(
        architecture=architecture,
        image_size=image_size,
        dimensions=classifier.dimensions,
        pretrained_sha256=sha256,
        classes=classes,
        counts={name: len(split.paths) for name, split in splits.items()},
        augmented_views=augmented_views,
    ).write(output)


def _print(line: str) -> None:
    print(line, flush=True)
