"""Each check finds what it is for, and is silent about a training that goes well."""

import math

import pytest
import torch
from image_classifier import diagnosis
from image_classifier.diagnosis import Diagnosis
from image_classifier.history import Epoch, Metrics, Seconds
from torch import nn


def epoch(number: int, train: float, validation: float, accuracy: float = 0.8, **seconds: float) -> Epoch:
    return Epoch(number, Metrics(train, accuracy), Metrics(validation, 0.8), 0.01, Seconds(**seconds))


def test_a_start_far_worse_than_guessing_is_found() -> None:
    message = diagnosis.poor_initialization(2.1 * math.log(10), 10)

    assert message is not None
    assert "a loss of 4.84, where guessing among 10 classes has 2.30" in message
    assert diagnosis.poor_initialization(1.9 * math.log(10), 10) is None


def test_gradients_that_vanish_in_most_layers_are_found() -> None:
    message = diagnosis.vanishing_gradients(epoch(2, 2.3, 2.3), [[1e-9, 1e-8, 1e-3]])

    assert message is not None
    assert "In epoch 2 the gradients of 67% of the layers are below 1e-07" in message


@pytest.mark.parametrize(
    ("accuracy", "means"),
    [
        pytest.param(0.8, [[1e-9, 1e-3]], id="half of the layers"),
        pytest.param(1.0, [[1e-9, 1e-9]], id="all is learnt"),
        pytest.param(0.8, [], id="nothing was looked at"),
    ],
)
def test_other_small_gradients_are_no_reason_to_warn(accuracy: float, means: list[list[float]]) -> None:
    assert diagnosis.vanishing_gradients(epoch(2, 0.1, 0.1, accuracy), means) is None


def test_a_gradient_that_explodes_is_found() -> None:
    message = diagnosis.exploding_gradients(epoch(4, 0.5, 0.5), norm=250.0, usual_norm=2.0)

    assert message is not None
    assert "a gradient has the norm 250, 125 times what is usual" in message
    assert diagnosis.exploding_gradients(epoch(4, 0.5, 0.5), norm=150.0, usual_norm=2.0) is None


def test_overfitting_is_found() -> None:
    best = epoch(2, train=0.5, validation=0.6)

    message = diagnosis.overfitting(epoch(4, train=0.2, validation=0.7), best)

    assert message is not None
    assert "In epoch 4 the validation loss is 0.700, against 0.600 in epoch 2" in message


@pytest.mark.parametrize(
    ("train", "validation", "best_validation"),
    [
        pytest.param(0.2, 0.65, 0.6, id="a small rise"),
        pytest.param(0.2, 0.009, 0.001, id="a loss of nearly 0"),
        pytest.param(0.6, 0.9, 0.6, id="the training loss rises too"),
    ],
)
def test_other_rises_of_the_validation_loss_are_not_overfitting(
    train: float, validation: float, best_validation: float
) -> None:
    assert diagnosis.overfitting(epoch(4, train, validation), epoch(2, 0.5, best_validation)) is None


def test_epochs_that_bring_nothing_are_found() -> None:
    message = diagnosis.overtraining(epoch(8, 0.1, 0.6), epoch(3, 0.2, 0.5))

    assert message is not None
    assert message.startswith("The 5 epochs since epoch 3 brought no lower validation loss")
    assert diagnosis.overtraining(epoch(7, 0.1, 0.6), epoch(3, 0.2, 0.5)) is None


def test_a_training_that_waits_for_its_data_is_found() -> None:
    message = diagnosis.waiting_for_data(epoch(1, 1, 1, data=6.0, forward=2.0, backward=2.0, other=9.0))

    assert message is not None
    assert "loading batches took 6 s of 10 s of training (60%)" in message
    assert diagnosis.waiting_for_data(epoch(1, 1, 1, data=4.0, forward=3.0, backward=3.0)) is None
    assert diagnosis.waiting_for_data(epoch(1, 1, 1, data=0.6, forward=0.2, backward=0.2)) is None


def taught(scale: float, lines: list[str]) -> Diagnosis:
    """The diagnosis of one step of a network whose weights are all of one size."""
    network = nn.Sequential(*[nn.Linear(8, 8) for _ in range(4)])
    for weights in network.parameters():
        nn.init.constant_(weights, scale)
    labels = torch.arange(16) % 8
    loss = nn.functional.cross_entropy(network(torch.ones(16, 8)) * torch.arange(8.0), labels)
    loss.backward()
    found = Diagnosis(lines.append)
    found.see_step(1, 1, loss.detach(), 8, network)
    return found


def test_a_network_with_tiny_weights_has_vanishing_gradients() -> None:
    lines: list[str] = []
    found = taught(1e-4, lines)
    found.see_epoch([epoch(1, 2.1, 2.1)], epoch(1, 2.1, 2.1))

    assert [finding["check"] for finding in found.findings] == ["vanishing_gradients"]
    assert lines == [f"warning: {found.findings[0]['message']}"]


def test_a_network_with_huge_weights_is_badly_initialized() -> None:
    found = taught(1.0, [])

    assert [finding["check"] for finding in found.findings] == ["poor_initialization"]


def test_each_kind_of_finding_is_reported_once() -> None:
    lines: list[str] = []
    found, best = Diagnosis(lines.append), epoch(2, 0.5, 0.6)
    for number in (4, 5):
        found.see_epoch([epoch(number, 0.2, 0.9)], best)

    assert len(lines) == 1
    assert lines[0].startswith("warning: In epoch 4 the validation loss is")


def test_a_diagnosis_goes_on_from_its_state() -> None:
    found = taught(1.0, [])
    lines: list[str] = []
    again = Diagnosis(lines.append)

    again.load_state_dict(found.state_dict())
    again.see_epoch([epoch(1, 2.1, 2.1)], epoch(1, 2.1, 2.1))

    assert again.findings == found.findings
    assert lines == []  # it was reported before
