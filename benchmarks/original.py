"""The approach of the original project, reimplemented as a baseline; it is not an example to follow.

Although the backbone is frozen, every epoch sends every image through the whole network. Images are read with Pillow,
resized to a square and converted to a tensor, without normalization. Serving is eager PyTorch, one image per request.
The module imports nothing of this repository, since TorchServe runs it from an archive.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn, optim
from torchvision import transforms

LITE0 = "efficientnet_lite0"
HIDDEN_UNITS = 128
TRAIN_TRANSFORM = transforms.Compose(
    [transforms.RandomResizedCrop((224, 224)), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
)
TEST_TRANSFORM = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor()])

Batches = Iterable[tuple[Tensor, Tensor]]


def build(architecture: str, classes: int, weights: Path | None = None) -> nn.Module:
    """Return the architecture with a new head instead of its last layer; ``weights`` are those of the backbone."""
    if architecture == LITE0:
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
    else:
        network = torchvision.models.get_model(architecture, weights=None)
    if weights is not None:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    head = _head(architecture)
    features = getattr(network, head).in_features
    layers = nn.Linear(features, HIDDEN_UNITS), nn.ReLU(inplace=True), nn.Linear(HIDDEN_UNITS, classes)
    setattr(network, head, nn.Sequential(*layers))
    return network


def freeze(network: nn.Module, architecture: str) -> None:
    """Freeze all layers except the new head."""
    network.requires_grad_(False)
    getattr(network, _head(architecture)).requires_grad_(True)


def adam(network: nn.Module, learning_rate: float) -> optim.Optimizer:
    """Return the optimizer for the parameters that are not frozen."""
    return optim.Adam([p for p in network.parameters() if p.requires_grad], lr=learning_rate)


def batches(folder: Path, transform: transforms.Compose, batch_size: int) -> Batches:
    """Return the images of one split, shuffled in every epoch."""
    images = torchvision.datasets.ImageFolder(str(folder), transform)
    return torch.utils.data.DataLoader(images, batch_size=batch_size, shuffle=True)


def train(network: nn.Module, data: Batches, optimizer: optim.Optimizer) -> int:
    """Train for one epoch; return the number of images."""
    network.train()
    images = 0
    for inputs, labels in data:
        loss = nn.functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        images += len(labels)
    return images


def accuracy(network: nn.Module, data: Batches) -> float:
    """Return the share of images with a correct prediction."""
    network.eval()
    right = images = 0
    for inputs, labels in data:
        right += int((network(inputs).argmax(1) == labels).sum())
        images += len(labels)
    return right / images


def load(folder: Path) -> nn.Module:
    """Return the network in evaluation mode, with the weights of this repository's ``model.safetensors``."""
    architecture = json.loads((folder / "model.json").read_text())["architecture"]
    network = build(architecture, len(json.loads((folder / "classes.json").read_text())))
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict(dict(_renamed(weights, architecture)))
    return network.eval()


def answer(network: nn.Module, bodies: list[bytes]) -> list[list[float]]:
    """Return the output of the network for a batch of encoded images."""
    images = [TEST_TRANSFORM(Image.open(io.BytesIO(body)).convert("RGB")) for body in bodies]
    with torch.no_grad():
        return network(torch.stack(images)).tolist()


def _head(architecture: str) -> str:
    return "_fc" if architecture == LITE0 else "fc"


def _renamed(weights: dict[str, Tensor], architecture: str) -> Iterator[tuple[str, Tensor]]:
    for name, weight in weights.items():
        part, _, rest = name.partition(".")
        yield rest if part == "backbone" else f"{_head(architecture)}.{rest}", weight
