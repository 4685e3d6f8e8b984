"""Reads and writes tensors as safetensors files, which hold numbers and text, and nothing that could run."""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from . import shipped

shipped.provide("safetensors")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

VERSIONS = "versions"
"""Where a file keeps which versions of a network's layers wrote it. Some layers read by that."""


def write(path: Path, tensors: Mapping[str, Tensor], text: Mapping[str, str]) -> None:
    """Write tensors by name, and texts, into a file that is on the disk when this returns."""
    storages: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        kept = tensor.detach().cpu().contiguous()
        # The format knows no tensors that share their memory.
        storage = kept.untyped_storage()
        if storage.nbytes() != kept.nbytes or storage.data_ptr() in storages:
            kept = kept.clone()
        storages.add(kept.untyped_storage().data_ptr())
        separate[name] = kept
    save_file(separate, path, dict(text))
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return what :func:`write` wrote.

    :raises Exception: the file can't be read.
    """
    # Not mapped to memory: the file may be replaced while the tensors are in use.
    with safe_open(path, framework="pt", backend="pread") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def write_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write the state_dict of a network."""
    write(path, state, {VERSIONS: json.dumps(getattr(state, "_metadata", None))})


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state_dict of a network, from a file that :func:`write_state` or another program wrote.

    :raises Exception: the file can't be read.
    """
    tensors, text = read(path)
    return with_versions(tensors, json.loads(text.get(VERSIONS, "null")))


def with_versions(tensors: Mapping[str, Tensor], versions: Mapping[str, dict] | None) -> dict[str, Tensor]:
    """Return tensors as a state_dict that tells its layers which versions of them wrote it."""
    state = OrderedDict(tensors)
    if versions is not None:
        state._metadata = OrderedDict(versions)  # type: ignore[attr-defined]  # noqa: SLF001
    return state
