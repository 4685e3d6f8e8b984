"""Candidate and live model are evaluated by their own code on the same images."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from image_classifier import evaluate, tensors
from image_classifier.errors import ClassifierError

from tests.include.classifier.conftest import CLASSIFIER
from tests.include.classifier.drawing import CLASSES, pack, write_images
from tests.include.classifier.training import Trained


@pytest.fixture(scope="module")
def candidate(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the trained model's model.tar.gz."""
    return pack(trained.model, tmp_path_factory.mktemp("candidate"))


@pytest.fixture
def changed(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the trained model, unpacked, to be changed by a test."""
    return shutil.copytree(trained.model, tmp_path / "model")


def test_a_candidate_is_measured(candidate: Path, dataset: Path) -> None:
    evaluation = evaluate.evaluate(dataset / "test", candidate, None)

    assert (evaluation["images"], evaluation["classes"]) == (12, list(CLASSES))
    assert (evaluation["live"], evaluation["difference"]) == (None, None)
    measured = evaluation["candidate"]
    assert measured["accuracy"] > 0.9
    assert measured["top5_accuracy"] == 1
    assert 0 < measured["loss"] < 0.5
    assert 0 < measured["milliseconds_per_image"] <= measured["milliseconds_p95"]
    low, high = measured["accuracy_interval"]
    assert low < measured["accuracy"] <= high
    assert measured["size_bytes"] == (candidate / "model.tar.gz").stat().st_size
    assert {label: entry["images"] for label, entry in measured["per_class"].items()} == dict.fromkeys(
        CLASSES, 4
    )


def test_each_model_is_asked_through_its_own_code(candidate: Path, changed: Path, dataset: Path) -> None:
    always_red = """
import json

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept, context):
    labels = {"001.Red": 0.6, "002.Green": 0.3, "003.Blue": 0.1}
    return json.dumps({"predictions": [{"label": k, "probability": v} for k, v in labels.items()]}), accept
"""
    (changed / "code" / "inference.py").write_text(always_red)

    evaluation = evaluate.evaluate(dataset / "test", candidate, pack(changed, changed.parent / "live"))

    live = evaluation["live"]
    assert live["accuracy"] == pytest.approx(1 / 3)
    assert live["confusion"] == [[4, 0, 0], [4, 0, 0], [4, 0, 0]]
    assert live["loss"] == pytest.approx(1.3391, abs=1e-3)  # -(ln 0.6 + ln 0.3 + ln 0.1) / 3
    assert live["ece"] == pytest.approx(0.6 - 1 / 3)
    assert [mistake["image"] for mistake in live["mistakes"][:2]] == ["002.Green/0.jpg", "002.Green/1.jpg"]
    assert evaluation["candidate"]["accuracy"] > 0.9
    assert evaluation["difference"]["accuracy"] == pytest.approx(
        evaluation["candidate"]["accuracy"] - live["accuracy"]
    )
    assert evaluation["difference"]["significant"]
    assert not evaluation["identical"]


def test_a_model_of_an_earlier_release_is_read_by_its_own_code(
    candidate: Path, changed: Path, dataset: Path
) -> None:
    weights, predictor = changed / "model.safetensors", changed / "code" / "image_classifier" / "predictor.py"
    torch.save(tensors.read_state(weights), changed / "model.pt")
    weights.unlink()
    (changed / "model.onnx").unlink(missing_ok=True)  # where ONNX is installed
    (changed / "code" / "image_classifier" / "tensors.py").unlink()
    # As they were before there were safetensors.
    earlier = predictor.read_text().replace("import model, tensors\n", "import model\n")
    earlier = earlier.replace(
        'tensors.read_state(directory / "model.safetensors")',
        'torch.load(directory / "model.pt", weights_only=True)',
    )
    predictor.write_text(earlier)
    (changed / "code" / "image_classifier" / "model.py").write_text(
        (changed / "code" / "image_classifier" / "model.py")
        .read_text()
        .replace("from . import tensors\n", "")
    )

    evaluation = evaluate.evaluate(dataset / "test", candidate, pack(changed, changed.parent / "live"))

    assert evaluation["live"]["loss"] == pytest.approx(evaluation["candidate"]["loss"], abs=1e-4)


def test_the_same_model_is_evaluated_once(
    candidate: Path, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(candidate / "model.tar.gz", tmp_path)

    evaluation = evaluate.evaluate(dataset / "test", candidate, tmp_path)

    assert evaluation["live"] == evaluation["candidate"]
    assert evaluation["identical"]
    assert evaluation["difference"]["interval"] == [0, 0]
    assert not evaluation["difference"]["significant"]
    assert "live:" not in capfd.readouterr().out


def test_a_live_model_of_other_classes_is_incomparable(candidate: Path, changed: Path, dataset: Path) -> None:
    (changed / "classes.json").write_text(json.dumps([*CLASSES, "004.Yellow"]))

    evaluation = evaluate.evaluate(dataset / "test", candidate, pack(changed, changed.parent / "live"))

    assert evaluation["live"]["classes"] == [*CLASSES, "004.Yellow"]
    assert evaluation["difference"] is None
    assert "they differ in 004.Yellow" in evaluation["live"]["incomparable"]


def test_a_live_model_that_fails_is_incomparable(candidate: Path, changed: Path, dataset: Path) -> None:
    (changed / "code" / "inference.py").write_text("raise RuntimeError('broken')")

    evaluation = evaluate.evaluate(dataset / "test", candidate, pack(changed, changed.parent / "live"))

    assert evaluation["live"] == {
        "incomparable": "The live model could not be evaluated: RuntimeError: broken"
    }


def test_a_candidate_of_other_classes_is_refused(candidate: Path, tmp_path: Path) -> None:
    others = write_images(tmp_path, {"test": 1}, {"001.Red": (200, 40, 40), "005.Gray": (90, 90, 90)})

    with pytest.raises(ClassifierError, match=r"candidate model knows 3 classes .* differ in .*005\.Gray"):
        evaluate.evaluate(others / "test", candidate, None)


def test_a_candidate_that_fails_is_told(changed: Path, dataset: Path) -> None:
    (changed / "code" / "inference.py").write_text("raise RuntimeError('broken')")

    with pytest.raises(ClassifierError, match="candidate model could not be evaluated: RuntimeError: broken"):
        evaluate.evaluate(dataset / "test", pack(changed, changed.parent / "candidate"), None)


def test_an_archive_that_leaves_its_folder_is_refused(dataset: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(outside, arcname="../outside.txt")

    with pytest.raises(ClassifierError, match="cannot be unpacked"):
        evaluate.evaluate(dataset / "test", tmp_path, None)


def test_a_missing_model_is_told(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match=r"no model\.tar\.gz in"):
        evaluate.evaluate(dataset / "test", tmp_path, None)


def test_the_job_writes_its_evaluation(candidate: Path, dataset: Path, tmp_path: Path) -> None:
    arguments = ["--data", dataset / "test", "--candidate", candidate, "--output", tmp_path / "output"]

    subprocess.run([sys.executable, CLASSIFIER / "evaluate.py", *arguments], check=True)

    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "output").iterdir()}
    assert set(written) == {"evaluation.json", "answers.json"}
    assert written["evaluation.json"]["candidate"]["accuracy"] > 0.9
    assert "answers" not in written["evaluation.json"]
    answers = written["answers.json"]
    assert {path.partition("/")[0] for path in answers} == set(CLASSES)
    assert len(answers) == 12
    mean = sum(answer["label"] == path.partition("/")[0] for path, answer in answers.items()) / 12
    assert mean == written["evaluation.json"]["candidate"]["accuracy"]
    assert all(1 / 3 < answer["probability"] <= 1 for answer in answers.values())
