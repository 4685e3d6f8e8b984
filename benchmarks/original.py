"""The original project's way, written anew to be measured against; nothing here is how it should be done.

The backbone is frozen, and yet every epoch sends every image through the whole network. Images are read by Pillow,
made square and turned into a tensor, without normalisation. Serving is eager PyTorch, one image a request.
It imports nothing of this repository, since TorchServe runs it out of an archive.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torchvision
from PIL import Image
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
    """The architecture with a new head in place of its last layer; ``weights`` are those of the whole backbone."""
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
    """Leave only the new head to be trained."""
    network.requires_grad_(False)
    getattr(network, _head(architecture)).requires_grad_(True)


def adam(network: nn.Module, learning_rate: float) -> optim.Optimizer:
    """The optimizer of what is not frozen."""
    return optim.Adam([p for p in network.parameters() if p.requires_grad], lr=learning_rate)


def batches(folder: Path, transform: transforms.Compose, batch_size: int) -> Batches:
    """The images of one split, in a new order every time."""
    images = torchvision.datasets.ImageFolder(str(folder), transform)
    return torch.utils.data.DataLoader(images, batch_size=batch_size, shuffle=True)


def train(network: nn.Module, data: Batches, optimizer: optim.Optimizer) -> int:
    """Train for one epoch; returns the number of images."""
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
    """The share of images whose most probable class is right."""
    network.eval()
    right = images = 0
    for inputs, labels in data:
        right += int((network(inputs).argmax(1) == labels).sum())
        images += len(labels)
    return right / images


def load(folder: Path) -> nn.Module:
    """The network with the weights that this repository's ``model.pt`` holds, ready to answer."""
    architecture = json.loads((folder / "model.json").read_text())["architecture"]
    network = build(architecture, len(json.loads((folder / "classes.json").read_text())))
    weights = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(dict(_renamed(weights, architecture)))
    return network.eval()


def answer(network: nn.Module, bodies: list[bytes]) -> list[list[float]]:
    """The numbers that the network gives each class, for encoded images that came at once."""
    images = [TEST_TRANSFORM(Image.open(io.BytesIO(body)).convert("RGB")) for body in bodies]
    with torch.no_grad():
        return network(torch.stack(images)).tolist()


def _head(architecture: str) -> str:
    return "_fc" if architecture == LITE0 else "fc"


def _renamed(weights: dict[str, Tensor], architecture: str) -> Iterator[tuple[str, Tensor]]:
    for name, weight in weights.items():
        part, _, rest = name.partition(".")
        yield rest if part == "backbone" else f"{_head(architecture)}.{rest}", weight
