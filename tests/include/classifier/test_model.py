"""A classifier is a backbone of any known architecture and a head of its own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from image_classifier import model
from image_classifier.errors import ClassifierError
from safetensors.torch import save_file
from torch.torch_version import TorchVersion

from include.pipeline.architectures import ARCHITECTURES
from tests.include.classifier.drawing import IMAGE_SIZE


def save_published(folder: Path, architecture: str, **arguments: object) -> torch.nn.Module:
    """Save weights as torchvision publishes them, with the classifier of 1,000 classes."""
    import torchvision  # takes seconds, which every process that collects the tests would need

    network = torchvision.models.get_model(architecture, weights=None, **arguments)
    torch.save(network.state_dict(), folder / "weights.pth")
    return network.eval()


@pytest.mark.parametrize(
    ("architecture", "image_size", "dimensions"),
    [
        ("efficientnet_lite0", 64, 1280),
        ("resnet18", 64, 512),
        ("mobilenet_v3_small", 64, 1024),
        ("densenet121", 64, 1024),
        ("inception_v3", 96, 2048),
        ("vit_b_32", 64, 768),
    ],
)
def test_a_classifier_has_features_and_logits(architecture: str, image_size: int, dimensions: int) -> None:
    classifier = model.build(architecture, 7, image_size)
    images = torch.rand(2, 3, image_size, image_size)  # in training mode, where some answer tuples

    assert classifier.features(images).shape == (2, dimensions)
    assert classifier(images).shape == (2, 7)


def test_the_head_is_two_layers() -> None:
    head = model.build("resnet18", 7, IMAGE_SIZE).head

    assert [(layer.in_features, layer.out_features) for layer in (head[0], head[2])] == [(512, 128), (128, 7)]


def test_lite0_has_its_own_normalization() -> None:
    assert model.normalization("efficientnet_lite0") == model.HALF
    assert model.normalization("resnet18") == model.IMAGENET


@pytest.mark.parametrize(
    ("architecture", "image_size", "message"),
    [
        pytest.param("squeezenet1_1", 64, "no final linear layer", id="no linear layer"),
        pytest.param("resnet1", 64, "did you mean .*resnet1", id="misspelt"),
        pytest.param("fasterrcnn_resnet50_fpn", 64, "unknown", id="a detector"),
        pytest.param("inception_v3", 32, "cannot take images of 32", id="too small"),
    ],
)
def test_what_cannot_be_built_is_told(architecture: str, image_size: int, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        model.build(architecture, 3, image_size)


def test_published_weights_give_the_published_features(tmp_path: Path) -> None:
    published = save_published(tmp_path, "resnet18")
    classifier = model.build("resnet18", 3, IMAGE_SIZE).eval()
    images = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)

    model.load_pretrained(classifier, tmp_path)

    published.fc = torch.nn.Identity()
    torch.testing.assert_close(classifier.features(images), published(images))


def test_published_weights_with_auxiliary_classifiers_are_accepted(tmp_path: Path) -> None:
    save_published(tmp_path, "googlenet", init_weights=False, aux_logits=True)

    assert len(model.load_pretrained(model.build("googlenet", 3, IMAGE_SIZE), tmp_path)) == 64


def test_weights_of_densenet_are_accepted_under_their_published_names(tmp_path: Path) -> None:
    weights = model.backbone_of("densenet121", IMAGE_SIZE).state_dict()
    published = {re.sub(r"(denselayer.*)([12])\.", r"\1.\2.", name): value for name, value in weights.items()}
    torch.save(published, tmp_path / "weights.pth")

    assert len(model.load_pretrained(model.build("densenet121", 3, IMAGE_SIZE), tmp_path)) == 64


def test_weights_without_the_classifier_layer_are_accepted(tmp_path: Path) -> None:
    weights = model.backbone_of("resnet18", IMAGE_SIZE).state_dict()
    torch.save({k: v for k, v in weights.items() if not k.startswith("fc.")}, tmp_path / "weights.pt")

    assert len(model.load_pretrained(model.build("resnet18", 3, IMAGE_SIZE), tmp_path)) == 64


def test_weights_may_be_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = model.backbone_of("resnet18", IMAGE_SIZE)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")  # as other programs write them
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0"))  # where pickles are refused
    classifier = model.build("resnet18", 3, IMAGE_SIZE)

    assert len(model.load_pretrained(classifier, tmp_path)) == 64

    assert torch.equal(classifier.backbone.conv1.weight, network.conv1.weight)


def test_a_pickle_is_not_read_by_a_pytorch_that_one_can_get_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_published(tmp_path, "resnet18")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1+cpu"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))

    with pytest.raises(ClassifierError, match=r"are a pickle, and PyTorch 2.9.1.* Use PyTorch 2.10"):
        model.load_pretrained(model.build("resnet18", 3, IMAGE_SIZE), tmp_path)


def test_weights_that_need_a_version_and_have_none_are_told(tmp_path: Path) -> None:
    save_file(model.backbone_of("mnasnet0_5", IMAGE_SIZE).state_dict(), tmp_path / "weights.safetensors")

    with pytest.raises(ClassifierError, match=r"of another architecture: .*version"):
        model.load_pretrained(model.build("mnasnet0_5", 3, 64), tmp_path)


def write_damaged_safetensors(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"no weights")


def write_nothing(folder: Path) -> None:
    """Leave the folder empty."""


def write_two(folder: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (folder / name).write_bytes(b"")


def write_garbage(folder: Path) -> None:
    (folder / "weights.pth").write_bytes(b"no weights")


def write_a_whole_module(folder: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), folder / "weights.pth")


def write_another_architecture(folder: Path) -> None:
    save_published(folder, "mobilenet_v3_small")


def write_another_size(folder: Path) -> None:
    weights = model.backbone_of("resnet18", IMAGE_SIZE).state_dict()
    weights["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(weights, folder / "weights.pth")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_nothing, "holds 0 files"),
        (write_two, "holds 2 files"),
        (write_garbage, "cannot be read"),
        (write_damaged_safetensors, "cannot be read"),
        (write_a_whole_module, "cannot be read"),
        (write_another_architecture, "of another architecture: .* missing .* unknown"),
        (write_another_size, "of another architecture: size mismatch for conv1"),
    ],
)
def test_unusable_weights_are_told(write: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    write(tmp_path)

    with pytest.raises(ClassifierError, match=message):
        model.load_pretrained(model.build("resnet18", 3, IMAGE_SIZE), tmp_path)


def test_project_files_may_name_each_architecture_that_ends_in_a_linear_layer() -> None:
    import torchvision

    known = {model.LITE0, *torchvision.models.list_models(module=torchvision.models)}
    assert known - set(ARCHITECTURES) == {"squeezenet1_0", "squeezenet1_1"}
    assert set(ARCHITECTURES) <= known
