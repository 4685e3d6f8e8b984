"""Which layers of a classifier are trained: all, or the last blocks of its backbone and the head."""

import re
from collections.abc import Iterator

from torch import nn

from .errors import ClassifierError
from .model import Classifier

# What torchvision's architectures and EfficientNet-Lite0 call a part that holds a sequence of blocks.
SEQUENCES = ("features", "layers", "encoder", "blocks", "_blocks", "trunk_output")

NORMALIZATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)  # noqa: SLF001


def blocks(backbone: nn.Module) -> list[list[str]]:
    """Return the names of the modules of each block, from the image to the features.

    A block is what the architecture itself treats as one, for example layer4 of a ResNet or an inverted
    residual of a MobileNet. A normalization goes with the block whose output it normalizes. Modules without
    parameters are in no block.
    """
    found: list[list[str]] = []
    for name, module in _modules(backbone, ""):
        if found and _is_normalization(module):
            found[-1].append(name)
        else:
            found.append([name])
    return found


def freeze(classifier: Classifier, train_layers: str) -> None:
    """Exclude the blocks that are not trained from it.

    They get no gradients, and stay in evaluation mode: a batch normalization in training mode would go on
    changing its statistics, and with them what the blocks after it see.

    :param train_layers: all, or last_<n> for the last n blocks.
    :raises ClassifierError: the backbone has fewer blocks.
    """
    if train_layers == "all":
        return
    count = int(re.sub(r"^last_", "", train_layers))
    found = blocks(classifier.backbone)
    if count > len(found):
        raise ClassifierError(
            f"train_layers is {train_layers}, but the backbone has {len(found)} blocks, from {found[0][0]} to "
            f"{found[-1][0]}; say last_1 to last_{len(found)}, or all."
        )
    classifier.backbone.requires_grad_(False)
    for name in _names(found[-count:]):
        classifier.backbone.get_submodule(name).requires_grad_(True)
    classifier.frozen = tuple(_names(found[:-count]))


def _modules(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if name in SEQUENCES:
            yield from _modules(child, f"{prefix}{name}.")
        elif any(True for _ in child.parameters()):
            yield prefix + name, child


def _is_normalization(module: nn.Module) -> bool:
    """Return whether all parameters in the module are those of normalizations."""
    holders = [part for part in module.modules() if any(True for _ in part.parameters(recurse=False))]
    return all(isinstance(part, NORMALIZATIONS) for part in holders)


def _names(found: list[list[str]]) -> list[str]:
    return [name for block in found for name in block]
