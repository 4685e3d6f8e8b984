"""The page of an evaluation: complete in itself, escaped, and bounded."""

import base64
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import evaluation_metrics
import evaluation_page
import numpy as np
import pytest
from data import Split
from PIL import Image
from significance import accuracy_difference, accuracy_interval
from training_record import TrainingRecord

from tests.include.classifier.drawing import draw, encode

HOSTILE = "<script>alert('1')<:script>&quot;"
PHOTO = encode(draw((200, 90, 40), size=(400, 240)))


def judged(split: Split, data: Path, answered: Sequence[int]) -> dict[str, Any]:
    """A model that gives these answers, each a little surer than the one before."""
    answers = [
        {
            "answer": split.classes[label],
            "probability": 0.5 + number / 2 / len(answered),
            "rank": 0 if label == split.labels[number] else 1,
            "loss": 0.7,
            "milliseconds": 12.0,
        }
        for number, label in enumerate(answered)
    ]
    correct = np.array(answered) == np.array(split.labels)
    return {
        **evaluation_metrics.measure(answers, split),
        "accuracy_interval": accuracy_interval(correct),
        "mistakes": evaluation_metrics.mistakes(answers, split, data),
        "size_bytes": 26_300_000,
    }


class Evaluated:
    """Six images of each class, of which a candidate takes one for the next class, and a live model more."""

    def __init__(self, data: Path, classes: list[str], live_wrong: int = 1) -> None:
        self.data = data
        labels = [label for label in range(len(classes)) for _ in range(6)]
        self.split = Split("test", classes, [], labels)
        for number, label in enumerate(labels):
            path = data / classes[label] / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(PHOTO)
            self.split.paths.append(path)
        candidate, live = self.answers(1), self.answers(live_wrong)
        self.evaluation: dict[str, Any] = {
            "images": len(labels),
            "classes": classes,
            "candidate": judged(self.split, data, candidate),
            "live": judged(self.split, data, live),
            "difference": accuracy_difference(
                np.array(candidate) == np.array(labels), np.array(live) == np.array(labels)
            ),
        }

    def answers(self, wrong: int) -> list[int]:
        """Of each class the first so many are answered with the next class."""
        classes = len(self.split.classes)
        return [(label + (number % 6 < wrong)) % classes for number, label in enumerate(self.split.labels)]

    def page(self, training: TrainingRecord | None = None, **changed: Any) -> str:
        return evaluation_page.render({**self.evaluation, **changed}, self.data, training)


@pytest.fixture
def few(tmp_path: Path) -> Evaluated:
    return Evaluated(tmp_path, ["001.Red", "002.Green", "003.Blue"])


def test_candidate_and_live_model_stand_side_by_side(few: Evaluated) -> None:
    page = few.page()

    assert "<th scope='col'>Candidate</th><th scope='col'>Live</th>" in page
    assert "<td>Accuracy</td><td>0.833</td><td>0.833</td>" in page
    assert "<td>Time of a request, median</td><td>12.0 ms</td><td>12.0 ms</td>" in page
    assert "<td>Size of model.tar.gz</td><td>26.3 MB</td><td>26.3 MB</td>" in page


@pytest.mark.parametrize(
    ("live_wrong", "sentence"),
    [
        pytest.param(1, "The candidate and the live model are right on the same images.", id="no difference"),
        pytest.param(4, "higher than the live model's by more than noise", id="more than noise"),
        pytest.param(0, "lower than the live model's by more than noise", id="worse"),
    ],
)
def test_a_sentence_says_whether_the_difference_is_more_than_noise(
    tmp_path: Path, live_wrong: int, sentence: str
) -> None:
    page = Evaluated(tmp_path, [f"{number}" for number in range(8)], live_wrong).page()

    assert sentence in page.replace("&#x27;", "'")


def test_a_difference_within_noise_is_called_so(few: Evaluated) -> None:
    candidate, live = np.arange(18) < 15, np.arange(18) > 2
    page = few.page(difference=accuracy_difference(candidate, live))

    assert "does not differ from the live model&#x27;s by more than noise" in page
    assert "On 3 images only the candidate is right, on 3 only the live model." in page


def test_the_first_model_has_nothing_beside_it(few: Evaluated) -> None:
    page = few.page(live=None, difference=None)

    assert "No model is live yet" in page
    assert "Live" not in page


def test_a_live_model_that_can_not_be_compared_is_named(few: Evaluated) -> None:
    page = few.page(live={"incomparable": "It knows 4 classes."}, difference=None)

    assert "The live model can&#x27;t be compared: It knows 4 classes." in page


def test_few_classes_are_named_on_the_confusion_matrix(few: Evaluated) -> None:
    page = few.page()

    matrix = re.search(r"<svg role='img' aria-label='Confusion matrix.*?</svg>", page)
    assert matrix is not None
    assert matrix[0].count(">002.Green</text>") == 2
    assert re.findall(r"class='middle'[^>]*>(\d+)</text>", matrix[0]) == ["5", "1", "5", "1", "1", "5"]
    assert "Most frequent confusions" not in page


def test_many_classes_come_with_the_most_confused_pairs_and_a_bounded_page(tmp_path: Path) -> None:
    page = Evaluated(tmp_path, [f"{number:03d}.breed" for number in range(133)]).page()

    assert "<h3>Most frequent confusions</h3>" in page
    assert "<td>000.breed</td><td>001.breed</td><td>1</td>" in page
    assert page.count("data:image/jpeg;base64,") == 24
    assert len(page) < 1_000_000


def test_the_worst_classes_say_what_they_are_mistaken_for(few: Evaluated) -> None:
    assert "<td>001.Red</td><td>0.833</td><td>6</td><td>002.Green (1)</td>" in few.page()


def test_the_most_confident_mistakes_are_shown_as_small_pictures(few: Evaluated) -> None:
    page = few.page()

    pictures = re.findall(r"<img src='data:image/jpeg;base64,([^']+)'", page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures]
    assert sizes == [(160, 96)] * 3
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert captions[0] == "Truth: 003.Blue<br>Answer: 001.Red (0.833)"


def test_a_model_without_a_mistake_is_told_so(few: Evaluated) -> None:
    page = few.page(candidate=judged(few.split, few.data, few.split.labels))

    assert "Every test image was answered rightly." in page
    assert "There is no mistake to show." in page


def test_learning_curves_diagnosis_and_times_are_shown(few: Evaluated) -> None:
    metrics = dict.fromkeys(("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"), 0.5)
    times = dict.fromkeys(("data_seconds", "forward_seconds", "backward_seconds", "other_seconds"), 0.25)
    history = [{"epoch": number, **metrics, **times} for number in (1, 2, 3)]
    diagnosis = [{"check": "overfitting", "message": "The validation loss rose."}]

    page = few.page(TrainingRecord(history, diagnosis))

    assert "aria-label='Learning curve: loss'" in page
    assert "aria-label='Learning curve: accuracy'" in page
    assert "aria-label='Seconds of each epoch, by what they went to'" in page
    assert "<h3>Warning: overfitting</h3><p>The validation loss rose.</p>" in page


def test_a_history_without_times_leaves_their_chart_out(few: Evaluated) -> None:
    metrics = dict.fromkeys(("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"), 0.5)

    page = few.page(TrainingRecord([{"epoch": 1, **metrics}], []))

    assert "aria-label='Learning curve: loss'" in page
    assert "Seconds of each epoch" not in page
    assert "found nothing amiss" in page


def test_without_a_record_nothing_is_said_of_the_training(few: Evaluated) -> None:
    assert "<h2>Training</h2>" not in few.page()


class Tags(HTMLParser):
    """Collects the tags of a page, and whatever it would load or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_the_page_loads_nothing_and_names_can_not_bring_code_along(tmp_path: Path) -> None:
    evaluated = Evaluated(tmp_path, [HOSTILE, "' onload='x"])
    training = TrainingRecord([], [{"check": HOSTILE, "message": HOSTILE}])

    tags = Tags(evaluated.page(training))

    assert "script" not in tags.tags
    assert tags.handlers == []
    assert tags.loaded
    assert all(address.startswith("data:image/jpeg;base64,") for address in tags.loaded)
