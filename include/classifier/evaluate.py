"""Processing job: evaluate the candidate and the live model on the same test images."""

import argparse
import filecmp
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from data import Split, read_split
from errors import ClassifierError, run_program

WORKER = Path(__file__).parent / "evaluation_worker.py"
TOP = 5


def main() -> None:
    """Read the command line and write evaluation.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the test split, one folder per class")
    parser.add_argument("--candidate", type=Path, required=True, help="folder with its model.tar.gz")
    parser.add_argument("--live", type=Path, help="folder with its model.tar.gz, if one is live")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    evaluation = evaluate(arguments.data, arguments.candidate, arguments.live)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "evaluation.json").write_text(json.dumps(evaluation, indent=2))


def evaluate(data: Path, candidate: Path, live: Path | None) -> dict[str, Any]:
    """Evaluate one model or two.

    :param live: None where no model is live.
    :return: images, classes, and for candidate and live: accuracy, top5_accuracy, loss (mean cross-entropy),
        per_class, milliseconds_per_image (median of single requests) and size_bytes. A live model that cannot
        be compared has {"incomparable": sentence} instead.
    :raises ClassifierError: the data or the candidate cannot be evaluated.
    """
    split = read_split(data, "test")
    candidate_archive = _archive(candidate)
    evaluation = {
        "images": len(split.paths),
        "classes": split.classes,
        "candidate": _evaluate_archive(candidate_archive, split, "candidate"),
        "live": None,
    }
    if live is not None:
        try:
            archive = _archive(live)
            same = filecmp.cmp(candidate_archive, archive, shallow=False)
            evaluation["live"] = (
                evaluation["candidate"] if same else _evaluate_archive(archive, split, "live")
            )
        except ClassifierError as error:
            evaluation["live"] = {"incomparable": str(error)}
    return evaluation


def _archive(directory: Path) -> Path:
    path = directory / "model.tar.gz"
    if not path.is_file():
        raise ClassifierError(f"There is no model.tar.gz in {directory}.")
    return path


def _evaluate_archive(archive: Path, split: Split, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        model_dir = Path(directory)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(model_dir, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ClassifierError(f"The {name} model's {archive} cannot be unpacked ({error}).") from error
        _check_classes(model_dir, split, name)
        answers = _ask(model_dir, split, name)
    return {**_metrics(answers, split), "size_bytes": archive.stat().st_size}


def _check_classes(model_dir: Path, split: Split, name: str) -> None:
    try:
        classes = json.loads((model_dir / "classes.json").read_text())
    except (OSError, ValueError) as error:
        raise ClassifierError(f"The {name} model has no readable classes.json ({error}).") from error
    different = sorted(set(classes) ^ set(split.classes))
    if different:
        raise ClassifierError(
            f"The {name} model knows {len(classes)} classes and the test images show {len(split.classes)}; "
            f"they differ in {', '.join(different[:5])}{' and more' if len(different) > 5 else ''}."
        )


def _ask(model_dir: Path, split: Split, name: str) -> list[dict[str, float]]:
    """Have the model answer every image, by its own code in its own process, whatever version that is."""
    labels = [split.classes[label] for label in split.labels]
    images = [[str(path.resolve()), label] for path, label in zip(split.paths, labels, strict=True)]
    questions, answers = model_dir / "evaluation_images.json", model_dir / "evaluation_answers.json"
    questions.write_text(json.dumps(images))
    worker = subprocess.run(
        [sys.executable, str(WORKER), str(model_dir), str(questions), str(answers), name],
        stderr=subprocess.PIPE,
        text=True,
    )
    if worker.returncode != 0:
        sys.stderr.write(worker.stderr)
        reason = (worker.stderr.strip().splitlines() or [f"exit status {worker.returncode}"])[-1]
        raise ClassifierError(f"The {name} model could not be evaluated: {reason}")
    return json.loads(answers.read_text())


def _metrics(answers: list[dict[str, float]], split: Split) -> dict[str, Any]:
    by_label: dict[str, list[bool]] = defaultdict(list)
    for answer, label in zip(answers, split.labels, strict=True):
        by_label[split.classes[label]].append(answer["rank"] == 0)
    return {
        "accuracy": _mean([answer["rank"] == 0 for answer in answers]),
        "top5_accuracy": _mean([answer["rank"] < TOP for answer in answers]),
        "loss": _mean([answer["loss"] for answer in answers]),
        "per_class": {
            label: {"images": len(correct), "accuracy": _mean(correct)} for label, correct in by_label.items()
        },
        "milliseconds_per_image": sorted(answer["milliseconds"] for answer in answers)[len(answers) // 2],
    }


def _mean(values: list[Any]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    run_program(main)
