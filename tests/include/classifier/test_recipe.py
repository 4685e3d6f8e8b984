"""Learning rate, loss and mixing are as the settings say."""

import copy
import math
import sys
from dataclasses import replace

import pytest
import torch
from image_classifier.recipe import Recipe, for_fine_tuning, for_head, warm_up_then_cosine
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

CPU = torch.device("cpu")
IMAGES, LABELS = torch.rand(6, 3, 8, 8), torch.arange(6) % 3


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(), nn.Linear(4, 3))


def fine_tuning(network: nn.Module, **given: float) -> Recipe:
    settings = {"learning_rate": 0.1, "steps": 10, "warmup_steps": 4, "classes": 3, **given}
    return for_fine_tuning(network, CPU, **settings)


def test_the_learning_rate_warms_up_and_falls_in_half_a_cosine() -> None:
    rates = [warm_up_then_cosine(step, 8, 4) for step in range(8)]

    assert rates[:5] == [0.25, 0.5, 0.75, 1, 1]
    assert rates[6] == pytest.approx(0.5)  # halfway
    assert rates[7] == pytest.approx((1 + math.cos(math.pi * 3 / 4)) / 2)


def test_every_step_has_its_own_learning_rate(network: nn.Module) -> None:
    recipe, rates = fine_tuning(network), []
    for _ in range(10):
        rates.append(recipe.learning_rate)
        recipe.backward(recipe.forward(network, IMAGES, LABELS)[0])

    assert rates == pytest.approx([0.1 * warm_up_then_cosine(step, 10, 4) for step in range(10)])


def test_the_learning_rate_of_a_head_falls_from_the_first_step_on(network: nn.Module) -> None:
    recipe, rates = for_head(network, 0.01, 4), []
    for _ in range(4):
        rates.append(recipe.learning_rate)
        recipe.backward(recipe.forward(network, IMAGES, LABELS)[0])

    assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)])


@pytest.mark.parametrize("kind", ["head", "fine-tuning"])
def test_optimizers_compute_the_same_without_the_compiler(
    kind: str, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = copy.deepcopy(network)
    if kind == "head":
        recipe = for_head(network, 0.01, 10)
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(same.parameters(), lr=0.01, weight_decay=1.0)
    else:
        recipe = fine_tuning(network, warmup_steps=0)
        same.to(memory_format=torch.channels_last)  # some processors compute something else, in the last bit
        optimizer = torch.optim.SGD(same.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    reference = replace(
        recipe, optimizer=optimizer, scheduler=LambdaLR(optimizer, recipe.scheduler.lr_lambdas)
    )
    for _ in range(3):
        reference.backward(reference.forward(same, IMAGES, LABELS)[0])

    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an ImportError
    for _ in range(3):
        recipe.backward(recipe.forward(network, IMAGES, LABELS)[0])
        recipe.optimizer.load_state_dict(recipe.optimizer.state_dict())

    for name, value in network.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])


def test_labels_are_smoothed(network: nn.Module) -> None:
    loss, logits, _ = fine_tuning(network, label_smoothing=0.3).forward(network, IMAGES, LABELS)

    smoothed = 0.7 * functional.one_hot(LABELS, 3) + 0.1
    assert loss.item() == pytest.approx(-(smoothed * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_images_are_mixed_with_their_labels(kind: str, network: nn.Module) -> None:
    torch.manual_seed(1)
    mix = fine_tuning(network, **{kind: 1.0}).mix
    assert mix is not None

    # Each image has the one color of its label, so that the shares can be read off the pixels.
    images, shares = mix(functional.one_hot(LABELS, 3)[:, :, None, None].float().expand(6, 3, 8, 8), LABELS)

    torch.testing.assert_close(images.mean((2, 3)), shares)
    assert 0 < shares.max(1)[0].min() < 1


def test_the_label_of_mixed_images_is_that_of_the_larger_share(network: nn.Module) -> None:
    torch.manual_seed(1)
    recipe = fine_tuning(network, mixup=1.0)
    state = torch.get_rng_state()
    _, _, labels = recipe.forward(network, IMAGES, LABELS)
    torch.set_rng_state(state)
    assert recipe.mix is not None
    _, shares = recipe.mix(IMAGES, LABELS)

    assert labels.tolist() == shares.argmax(1).tolist()


def test_nothing_is_mixed_unless_asked_for(network: nn.Module) -> None:
    assert fine_tuning(network).mix is None


def test_frozen_weights_are_left_alone(network: nn.Module) -> None:
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    recipe = fine_tuning(network)

    recipe.backward(recipe.forward(network, IMAGES, LABELS)[0])

    assert torch.equal(network[0].weight, before)  # no weight decay either


def test_a_cpu_computes_in_full_precision(network: nn.Module) -> None:
    recipe = fine_tuning(network)

    assert recipe.precision is None
    assert not recipe.scaler.is_enabled()


def test_images_and_weights_are_laid_out_channels_last(network: nn.Module) -> None:
    images, _ = fine_tuning(network).to_device(IMAGES, LABELS, CPU)

    assert images.is_contiguous(memory_format=torch.channels_last)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
