"""Processing job: evaluate the candidate and the live model on the same test images."""

import argparse
import filecmp
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from . import evaluation_metrics
from .data import Split, read_split
from .errors import ClassifierError
from .evaluation_metrics import Answer
from .significance import accuracy_difference, accuracy_interval

if not hasattr(tarfile, "data_filter"):  # before Python 3.11.4; AWS's images have newer ones
    from backports import tarfile  # type: ignore[no-redef]

WORKER = Path(__file__).resolve().parents[1] / "evaluation_worker.py"


class OtherClassesError(ClassifierError):
    """A model whose classes are not those of the test images; ``classes`` are the model's."""

    def __init__(self, message: str, classes: list[str]) -> None:
        super().__init__(message)
        self.classes = classes


def main() -> None:
    """Read the command line, and write evaluation.json and answers.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the test split, one folder per class")
    parser.add_argument("--candidate", type=Path, required=True, help="folder with its model.tar.gz")
    parser.add_argument("--live", type=Path, help="folder with its model.tar.gz, if one is live")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    evaluation = evaluate(arguments.data, arguments.candidate, arguments.live)
    arguments.output.mkdir(parents=True, exist_ok=True)
    # Apart from the rest: the smoke test asks the endpoint about some of the images, and compares.
    (arguments.output / "answers.json").write_text(json.dumps(evaluation.pop("answers"), indent=0))
    (arguments.output / "evaluation.json").write_text(json.dumps(evaluation, indent=2))


def evaluate(data: Path, candidate: Path, live: Path | None) -> dict[str, Any]:
    """Evaluate one model or two.

    :param live: None where no model is live.
    :return: images, classes; for candidate and live what evaluation_metrics.measure returns, mistakes
        and accuracy_interval; difference, see significance.accuracy_difference; identical,
        whether both models are the same file; and answers, what the candidate answered: by an image's path below
        data, the most probable label and its probability. Without a live model, live and difference are None. A live
        model that cannot be compared is {"incomparable": sentence} instead, with its "classes" if they are
        why.
    :raises ClassifierError: the data or the candidate cannot be evaluated.
    """
    split = read_split(data, "test")
    candidate_archive = _archive(candidate)
    measured, correct, answers = _evaluate_archive(candidate_archive, data, split, "candidate")
    evaluation = {
        "images": len(split.paths),
        "classes": split.classes,
        "candidate": measured,
        "live": None,
        "difference": None,
        "identical": False,
        "answers": {
            path.relative_to(data).as_posix(): {
                "label": answer["answer"],
                "probability": answer["probability"],
            }
            for path, answer in zip(split.paths, answers, strict=True)
        },
    }
    if live is not None:
        try:
            archive = _archive(live)
            if filecmp.cmp(candidate_archive, archive, shallow=False):
                live_measured, live_correct = measured, correct
                evaluation["identical"] = True
            else:
                live_measured, live_correct, _ = _evaluate_archive(archive, data, split, "live")
            evaluation |= {"live": live_measured, "difference": accuracy_difference(correct, live_correct)}
        except OtherClassesError as error:
            evaluation["live"] = {"incomparable": str(error), "classes": error.classes}
        except ClassifierError as error:
            evaluation["live"] = {"incomparable": str(error)}
    return evaluation


def _archive(directory: Path) -> Path:
    path = directory / "model.tar.gz"
    if not path.is_file():
        raise ClassifierError(f"There is no model.tar.gz in {directory}.")
    return path


def _evaluate_archive(
    archive: Path, data: Path, split: Split, name: str
) -> tuple[dict[str, Any], np.ndarray, list[Answer]]:
    """Return the measures of a model, for each image whether its answer was right, and the answers."""
    with tempfile.TemporaryDirectory() as directory:
        model_dir = Path(directory)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(model_dir, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ClassifierError(f"The {name} model's {archive} cannot be unpacked ({error}).") from error
        _check_classes(model_dir, split, name)
        answers = _ask(model_dir, split, name)
    correct = np.array([answer["rank"] == 0 for answer in answers])
    measured = {
        **evaluation_metrics.measure(answers, split, archive.stat().st_size),
        "accuracy_interval": accuracy_interval(correct),
        "mistakes": evaluation_metrics.mistakes(answers, split, data),
    }
    return measured, correct, answers


def _check_classes(model_dir: Path, split: Split, name: str) -> None:
    try:
        classes = json.loads((model_dir / "classes.json").read_text())
    except (OSError, ValueError) as error:
        raise ClassifierError(f"The {name} model has no readable classes.json ({error}).") from error
    different = sorted(set(classes) ^ set(split.classes))
    if different:
        raise OtherClassesError(
            f"The {name} model knows {len(classes)} classes and the test images show {len(split.classes)}; "
            f"they differ in {', '.join(different[:5])}{' and more' if len(different) > 5 else ''}.",
            classes,
        )


def _ask(model_dir: Path, split: Split, name: str) -> list[Answer]:
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
