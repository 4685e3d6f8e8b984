"""The classifier: a backbone from torchvision or EfficientNet-Lite0, and a small head on its features."""

import difflib
import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import tensors
from .data import Normalization
from .errors import ClassifierError

LITE0 = "efficientnet_lite0"
HEAD_UNITS = 128
PICKLES, SAFETENSORS = (".pt", ".pth"), ".safetensors"
"""How files with pretrained weights end."""
SAFE_UNPICKLING = (2, 10)
"""The first PyTorch whose ``weights_only`` no file is known to get around (CVE-2026-24747)."""

IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Classifier(nn.Module):
    """A backbone that turns images (N x 3 x S x S) into features (N x D), and a head for logits (N x C).

    :param classifier_layer: name of the backbone's own last layer, replaced by the identity.
    :param dimensions: D, the length of a feature vector.
    :ivar frozen: names of the backbone's parts that stay in evaluation mode while the rest is trained.
    """

    def __init__(self, backbone: nn.Module, classifier_layer: str, dimensions: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier_layer = classifier_layer
        self.dimensions = dimensions
        self.frozen: tuple[str, ...] = ()
        self.head = nn.Sequential(
            nn.Linear(dimensions, HEAD_UNITS), nn.ReLU(), nn.Linear(HEAD_UNITS, classes)
        )

    def features(self, images: Tensor) -> Tensor:
        """Return the features of normalized images, N x D."""
        return self.backbone(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        for name in self.frozen:
            self.backbone.get_submodule(name).eval()
        return self


def normalization(architecture: str) -> Normalization:
    """Return the normalization that the architecture's published weights were trained with."""
    return HALF if architecture == LITE0 else IMAGENET


def build(architecture: str, classes: int, image_size: int = 224) -> Classifier:
    """Build a classifier with random weights.

    :param architecture: efficientnet_lite0 or a torchvision classification model with a linear layer.
    :param classes: number of classes, C.
    :param image_size: side of the square images it will see, in pixels.
    :raises ClassifierError: the architecture is unknown, has no final linear layer, or cannot take the size.
    """
    backbone = backbone_of(architecture, image_size)
    linear = [(name, layer) for name, layer in backbone.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise ClassifierError(
            f"The architecture {architecture} has no final linear layer that a new head could replace; "
            "choose another, for example resnet50 or efficientnet_lite0."
        )
    name, last = linear[-1]
    parent, _, attribute = name.rpartition(".")
    setattr(backbone.get_submodule(parent), attribute, nn.Identity())
    model = Classifier(backbone, name, last.in_features, classes)
    _check_image_size(model, architecture, image_size)
    return model


def load_pretrained(model: Classifier, directory: Path) -> str:
    """Load the backbone's weights from the one file of them in a folder, and return the file's sha256.

    It ends in .safetensors, .pt or .pth and holds a state_dict as torchvision publishes it; its classifier layer is
    not needed.

    :raises ClassifierError: no file or several, not a state_dict, or of another architecture.
    """
    path = _weights_file(directory)
    weights = _read_state_dict(path)
    # In place: the metadata kept on the dictionary tells layers which version wrote it.
    for key in list(weights):
        if key.startswith((f"{model.classifier_layer}.", "AuxLogits.", "aux1.", "aux2.")):
            del weights[key]
        elif (current := _current_name(key)) != key:
            weights[current] = weights.pop(key)
    try:
        keys = model.backbone.load_state_dict(weights, strict=False)
    except (RuntimeError, ValueError) as error:  # the second by layers that need to know their version
        first = str(error).strip().splitlines()[-1].strip()
        message = f"The pretrained weights in {path.name} are of another architecture: {first}"
        raise ClassifierError(message) from None
    if keys.missing_keys or keys.unexpected_keys:
        raise ClassifierError(
            f"The pretrained weights in {path.name} are of another architecture: "
            f"{len(keys.missing_keys)} of the model's weights are missing in it"
            f"{_example(keys.missing_keys)} and {len(keys.unexpected_keys)} are unknown to the model"
            f"{_example(keys.unexpected_keys)}."
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def backbone_of(architecture: str, image_size: int) -> nn.Module:
    if architecture == LITE0:
        from efficientnet_lite_pytorch import EfficientNet  # only this architecture needs the package

        return EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    import torchvision  # only other architectures need it, and to import it takes nearly as long as PyTorch itself

    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        close = difflib.get_close_matches(architecture, [*known, LITE0], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "use a torchvision classification model."
        raise ClassifierError(f"The architecture {architecture!r} is unknown; {hint}")
    return torchvision.models.get_model(architecture, weights=None, **_arguments(architecture, image_size))


def _arguments(architecture: str, image_size: int) -> dict[str, Any]:
    if architecture.startswith("vit_"):
        return {"image_size": image_size}
    if architecture.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    if architecture in ("googlenet", "inception_v3"):
        # Without the auxiliary classifiers they answer a tensor, not a tuple. The published weights
        # expect transform_input, and the slow published initialization is not needed.
        return {"aux_logits": False, "transform_input": True, "init_weights": False}
    return {}


def _check_image_size(model: Classifier, architecture: str, image_size: int) -> None:
    """Run one blank image through the backbone: an impossible size is told before any data is read."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            model.features(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ClassifierError(
            f"The architecture {architecture} cannot take images of {image_size} pixels a side ({error})."
        ) from error
    model.train(was_training)


def _weights_file(directory: Path) -> Path:
    endings = (*PICKLES, SAFETENSORS)
    files = sorted(p for p in directory.glob("*") if p.suffix in endings) if directory.is_dir() else []
    if len(files) != 1:
        raise ClassifierError(
            f"The folder of pretrained weights {directory} holds {len(files)} files that end in "
            f"{', '.join(endings[:-1])} or {endings[-1]}; it must hold exactly one."
        )
    return files[0]


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    if path.suffix in PICKLES and torch.__version__ < SAFE_UNPICKLING:  # type: ignore[operator]
        raise ClassifierError(
            f"The pretrained weights {path.name} are a pickle, and PyTorch {torch.__version__} can be made to run "
            "code by one (CVE-2026-24747). Use PyTorch 2.10 or newer, or weights that end in .safetensors."
        )
    try:
        if path.suffix == SAFETENSORS:
            return tensors.read_state(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch.load raise almost anything
        raise ClassifierError(
            f"The pretrained weights {path} cannot be read; the file must be a PyTorch state_dict "
            f"({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__})."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ClassifierError(f"The pretrained weights {path} are not a state_dict (names and tensors only).")
    return weights


def _current_name(key: str) -> str:
    """Rename a weight of torchvision's published DenseNets, which have the names of an early version."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)


def _example(keys: list[str]) -> str:
    return f" ({keys[0]})" if keys else ""
