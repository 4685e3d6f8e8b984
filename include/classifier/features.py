"""Processing job: run the frozen backbone once over every split and save the features."""

import argparse
from pathlib import Path

import model
from data import EvalTransform, read_splits
from errors import run_program
from extraction import FeatureExtractor
from feature_set import FeatureSetInfo, write_split


def main() -> None:
    """Read the command line and write the feature set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, valid/ and test/")
    parser.add_argument("--pretrained", type=Path, required=True, help="folder with the backbone's weights")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--architecture", default=model.LITE0)
    parser.add_argument("--image_size", type=int, default=224, help="side of the model's input, in pixels")
    arguments = parser.parse_args()
    write_features(
        arguments.data, arguments.pretrained, arguments.output, arguments.architecture, arguments.image_size
    )


def write_features(data: Path, pretrained: Path, output: Path, architecture: str, image_size: int) -> None:
    """Write <split>.npz for every split, and features.json, into a folder.

    :raises ClassifierError: the data, the weights or the architecture are not usable.
    """
    splits = read_splits(data)
    classes = splits["train"].classes
    classifier = model.build(architecture, len(classes), image_size)
    sha256 = model.load_pretrained(classifier, pretrained)
    transform = EvalTransform(image_size, model.normalisation(architecture))
    extractor = FeatureExtractor(classifier, image_size)
    print(f"Extracting features with {architecture} by {extractor.runtime}", flush=True)
    output.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        features = extractor.extract(split.paths, transform, name, lambda line: print(line, flush=True))
        write_split(output, name, features, split.labels)
    FeatureSetInfo(
        architecture=architecture,
        image_size=image_size,
        dimensions=classifier.dimensions,
        pretrained_sha256=sha256,
        classes=classes,
        counts={name: len(split.paths) for name, split in splits.items()},
    ).write(output)


if __name__ == "__main__":
    run_program(main)
