"""Finds out whether to compute on a GPU, and refuses to fall back to the CPU where there is a GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ClassifierError

if TYPE_CHECKING:
    import torch

# Present where the NVIDIA driver is. Asking torch would mean importing it, which takes 4 to 10 s.
DEVICE = Path("/dev/nvidiactl")
# Values of CUDA_VISIBLE_DEVICES by which a person asks for the CPU.
NONE = ("", "-1")


def is_present() -> bool:
    """Return whether there is an NVIDIA GPU that CUDA_VISIBLE_DEVICES does not hide."""
    return DEVICE.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in NONE


def device() -> torch.device:
    """Return the device to compute on: the GPU if there is one, else the CPU.

    :raises ClassifierError: there is a GPU, but PyTorch can't use it, as with a driver that is too old for its CUDA.
    """
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if is_present() and torch.version.cuda:
        raise ClassifierError(
            f"The instance has an NVIDIA GPU, but PyTorch {torch.__version__} with CUDA {torch.version.cuda} can't "
            f"use it: {_reason()}. Choose an instance type with a newer driver or without a GPU; "
            "with CUDA_VISIBLE_DEVICES=-1 the CPU computes."
        )
    return torch.device("cpu")


def _reason() -> str:
    import torch

    try:
        torch.cuda.init()
    except Exception as error:  # several types, by version and cause
        return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return "it finds no device"
