"""The last blocks of any backbone can be trained while those before them stay as they are."""

import pytest
import torch
from image_classifier import layers, model
from image_classifier.errors import ClassifierError
from torch import nn

# One of each family; the others of a family have the same parts.
ARCHITECTURES = {
    "alexnet": "classifier",
    "convnext_tiny": "features.7",
    "densenet121": "features.denseblock4",
    "efficientnet_b0": "features.8",
    "efficientnet_lite0": "_conv_head",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "mnasnet0_5": "layers.14",
    "mobilenet_v2": "features.18",
    "mobilenet_v3_small": "classifier",
    "resnet18": "layer4",
    "shufflenet_v2_x0_5": "conv5",
    "swin_t": "features.7",
    "vgg11": "classifier",
    "vit_b_32": "encoder.layers.encoder_layer_11",
}


@pytest.mark.parametrize(("architecture", "last"), ARCHITECTURES.items())
def test_the_last_block_of_every_family_is_found(architecture: str, last: str) -> None:
    with torch.device("meta"):  # without memory for the weights
        backbone = model.backbone_of(architecture, 224)
    # Its last layer, which the classifier's head replaces.
    name = [name for name, layer in backbone.named_modules() if isinstance(layer, nn.Linear)][-1]
    backbone.set_submodule(name, nn.Identity())

    found = layers.blocks(backbone)

    assert len(found) >= 5
    assert found[-1][0] == last


def test_a_normalization_goes_with_the_block_before_it() -> None:
    backbone = model.build("efficientnet_lite0", 3, 64).backbone

    found = layers.blocks(backbone)

    assert (found[0], found[-1]) == (["_conv_stem", "_bn0"], ["_conv_head", "_bn1"])


def test_the_last_blocks_and_the_head_are_trained() -> None:
    classifier = model.build("resnet18", 3, 64)

    layers.freeze(classifier, "last_1")

    trained = {name for name, weights in classifier.named_parameters() if weights.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"backbone", "head"}
    assert all(name.startswith(("backbone.layer4.", "head.")) for name in trained)


def test_frozen_blocks_stay_as_they_are_when_the_rest_is_trained() -> None:
    classifier = model.build("resnet18", 3, 64)
    layers.freeze(classifier, "last_1")
    before = {name: value.clone() for name, value in classifier.state_dict().items()}

    classifier.train()
    classifier(torch.rand(4, 3, 64, 64)).sum().backward()

    changed = {
        name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed  # the statistics of batch normalization
    assert all(name.startswith("backbone.layer4.") for name in changed)
    assert classifier.backbone.conv1.weight.grad is None


def test_all_layers_are_trained_on_request() -> None:
    classifier = model.build("resnet18", 3, 64)

    layers.freeze(classifier, "all")

    assert all(weights.requires_grad for weights in classifier.parameters())
    assert all(part.training for part in classifier.train().modules())


def test_more_blocks_than_there_are_are_told() -> None:
    with pytest.raises(ClassifierError, match=r"last_7, but the backbone has 5 blocks, from conv1 to layer4"):
        layers.freeze(model.build("resnet18", 3, 64), "last_7")
