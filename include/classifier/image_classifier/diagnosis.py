"""Finds out, while a network is trained, what commonly goes wrong, and says what to do about it.

The checks are those of the SageMaker Debugger rules VanishingGradient, ExplodingTensor, Overfit, Overtraining,
PoorWeightInitialization and of its profiler report, judged by what the training loop knows anyway.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .history import Epoch

# Gradients are looked at in every so many steps: it costs a pass over the weights.
STEPS_BETWEEN_LOOKS = 20

# The threshold of Debugger's VanishingGradient, and nearly float32's relative precision (1.2e-7): times a
# learning rate of 0.1, such a gradient is lost in rounding when it is added to a weight of 0.1 or more.
VANISHED = 1e-7
# A network that is right on nearly all it has seen has small gradients because it has learnt.
LEARNT = 0.99

# Gradients are clipped at up to 10 times their usual norm (Pascanu et al. 2013, "On the difficulty of training
# recurrent neural networks", section 3.2); ten times that is no matter of noise.
EXPLODED = 100.0

# The ratio of Debugger's Overfit rule; the second keeps noise out where the loss is nearly 0.
OVERFITTING_RATIO = 0.1
OVERFITTING_RISE = 0.01

# The patience of Debugger's Overtraining rule on the training loss.
OVERTRAINED_EPOCHS = 5

# Guessing among C classes has a loss of ln C. At twice that, the true class has on average (geometrically) a
# probability of 1 / C^2: the network is sure of what it cannot know yet.
POOR_START = 2.0

WAITING_SHARE = 0.5
# In shorter epochs single delays decide, and there is little to gain.
SHORTEST_EPOCH_SECONDS = 2.0


class Diagnosis:
    """What was found in a training so far, each kind of finding once.

    :param report: is called with a line for each finding.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._messages: dict[str, str] = {}
        self._usual_norm: float | None = None
        self._norms: list[Tensor] = []
        self._means: list[Tensor] = []

    @property
    def findings(self) -> list[dict[str, str]]:
        """The findings as diagnosis.json has them."""
        return [{"check": check, "message": message} for check, message in self._messages.items()]

    def see_step(self, epoch: int, step: int, loss: Tensor, classes: int, network: nn.Module) -> None:
        """Look at a step (from 1) of an epoch (from 1) that was just taken, while its gradients are there."""
        if (epoch, step) == (1, 1):
            self._add("poor_initialization", poor_initialization(float(loss), classes))
        if step % STEPS_BETWEEN_LOOKS == 1:
            gradients = [p.grad.detach() for p in network.parameters() if p.grad is not None]
            weights = [gradient for gradient in gradients if gradient.dim() > 1]
            # They stay on the device until the epoch is over: a GPU is not waited for.
            self._norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm())
            self._means.append(torch.stack([gradient.abs().mean() for gradient in weights]))

    def see_epoch(self, history: Sequence[Epoch], best: Epoch) -> None:
        """Look at the last epoch of the history."""
        epoch = history[-1]
        norms = [norm for norm in map(float, self._norms) if math.isfinite(norm)]
        if norms and self._usual_norm is None:
            self._usual_norm = statistics.median(norms)
        if norms and self._usual_norm is not None:
            self._add("exploding_gradients", exploding_gradients(epoch, max(norms), self._usual_norm))
        self._add("vanishing_gradients", vanishing_gradients(epoch, [mean.tolist() for mean in self._means]))
        self._norms.clear()
        self._means.clear()
        self._add("overfitting", overfitting(epoch, best))
        self._add("overtraining", overtraining(epoch, best))
        self._add("waiting_for_data", waiting_for_data(epoch))

    def state_dict(self) -> dict[str, Any]:
        return {
            "messages": self._messages,
            "usual_norm": self._usual_norm,
            "norms": self._norms,
            "means": self._means,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._messages = dict(state["messages"])
        self._usual_norm = state["usual_norm"]
        self._norms = list(state["norms"])
        self._means = list(state["means"])

    def _add(self, check: str, message: str | None) -> None:
        if message and check not in self._messages:
            self._messages[check] = message
            self._report(f"warning: {message}")


def poor_initialization(loss: float, classes: int) -> str | None:
    """Say whether the loss of the first batch, before any weight was changed, is far above that of guessing."""
    guessing = math.log(classes)
    if not loss > POOR_START * guessing:
        return None
    return (
        f"The first batch has a loss of {loss:.2f}, where guessing among {classes} classes has {guessing:.2f}: "
        "the weights start badly. Check that the pretrained weights and the normalization belong to the "
        "architecture."
    )


def vanishing_gradients(epoch: Epoch, means: Sequence[Sequence[float]]) -> str | None:
    """Say whether most layers no longer learn.

    :param means: of each step that was looked at, the mean absolute gradient of each weight matrix.
    """
    all_means = [mean for step in means for mean in step]
    vanished = sum(mean < VANISHED for mean in all_means)
    if epoch.train.accuracy >= LEARNT or vanished * 2 <= len(all_means):
        return None
    return (
        f"In epoch {epoch.number} the gradients of {vanished / len(all_means):.0%} of the layers are below "
        f"{VANISHED:g} on average: they no longer learn. Lower the learning rate if the loss jumped before; "
        "otherwise begin from pretrained weights or choose an architecture with residual connections."
    )


def exploding_gradients(epoch: Epoch, norm: float, usual_norm: float) -> str | None:
    """Say whether a gradient was far larger than in the first epoch.

    :param norm: the largest in this epoch, over all weights.
    :param usual_norm: the median in the first epoch.
    """
    if not norm > EXPLODED * usual_norm:
        return None
    return (
        f"In epoch {epoch.number} a gradient has the norm {norm:.3g}, {norm / max(usual_norm, 1e-30):.0f} times "
        "what is usual in the first epoch. Lower the learning rate, or warm up for longer."
    )


def overfitting(epoch: Epoch, best: Epoch) -> str | None:
    """Say whether the validation loss is well above its best while the training loss went on falling."""
    rise = epoch.validation.loss - best.validation.loss
    is_worse = rise > max(OVERFITTING_RISE, OVERFITTING_RATIO * best.validation.loss)
    if not (is_worse and epoch.train.loss < best.train.loss):
        return None
    return (
        f"In epoch {epoch.number} the validation loss is {epoch.validation.loss:.3f}, against "
        f"{best.validation.loss:.3f} in epoch {best.number}, while the training loss fell from "
        f"{best.train.loss:.3f} to {epoch.train.loss:.3f}: the network learns its training images by heart. "
        f"The weights of epoch {best.number} are kept. More images, augmented views, mixup, or fewer trained "
        "layers would help."
    )


def overtraining(epoch: Epoch, best: Epoch) -> str | None:
    """Say whether many epochs brought nothing."""
    if epoch.number - best.number < OVERTRAINED_EPOCHS:
        return None
    return (
        f"The {epoch.number - best.number} epochs since epoch {best.number} brought no lower validation loss, "
        "and cost time for nothing. Lower patience or epochs."
    )


def waiting_for_data(epoch: Epoch) -> str | None:
    """Say whether most of the training time went to loading batches."""
    seconds = epoch.seconds
    training = seconds.data + seconds.forward + seconds.backward
    if training < SHORTEST_EPOCH_SECONDS or seconds.data <= WAITING_SHARE * training:
        return None
    return (
        f"In epoch {epoch.number} loading batches took {seconds.data:.0f} s of {training:.0f} s of training "
        f"({seconds.data / training:.0%}). Store smaller images, take an instance with more CPUs for each GPU, "
        "or train only the head, on features that are computed once."
    )
