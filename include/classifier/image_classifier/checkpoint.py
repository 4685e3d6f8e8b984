"""Checkpoints: the whole state of a training on disk, from which a job that was ended goes on.

It is one safetensors file: the tensors, and in the header, as JSON, numbers, texts and what holds which.
"""

import json
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from . import tensors
from .distributed import Processes

FILE = "checkpoint.safetensors"
TREE = "tree"
SECONDS_BETWEEN = 300.0
"""How old a checkpoint may become; an interruption loses at most that much work."""


class Stateful(Protocol):
    """What a checkpoint holds, as networks, optimizers and schedulers have it."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class RandomStates:
    """The states of the random generators (PyTorch's, NumPy's and Python's) of every process."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def state_dict(self) -> dict[str, Any]:
        """Gather the states; every process must ask."""
        name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
        on_gpu = self._processes.device.type == "cuda"
        own = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self._processes.device) if on_gpu else None,
            "numpy": (name, [int(key) for key in keys], position, has_gauss, gauss),
            "python": random.getstate(),
        }
        return {"of_ranks": self._processes.gather(own)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = state_dict["of_ranks"][self._processes.rank]
        torch.set_rng_state(own["torch"])
        if own["cuda"] is not None:
            torch.cuda.set_rng_state(own["cuda"], self._processes.device)
        name, keys, *rest = own["numpy"]
        np.random.set_state((name, np.asarray(keys, np.uint32), *rest))
        random.setstate(own["python"])


class Checkpoints:
    """The checkpoint in a folder; a new one takes the place of the last.

    :param folder: read and written by the first process alone, since hosts need not share it.
    :param settings: what a training must agree on to go on from a checkpoint; numbers, texts and lists of them.
    :param seconds_between: after so many seconds without a checkpoint, the next one is due.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        processes: Processes,
        seconds_between: float = SECONDS_BETWEEN,
    ) -> None:
        self.folder = folder
        self._seconds_between = seconds_between
        self._last = time.monotonic()
        self._settings = dict(settings)
        self._processes = processes

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint, or the start, is as long ago as may be. Processes may disagree."""
        return time.monotonic() - self._last >= self._seconds_between

    def save(self, parts: Mapping[str, Stateful]) -> None:
        """Write the state of these parts; every process must take part."""
        try:
            self._save(parts)
        finally:
            self._last = time.monotonic()

    def _save(self, parts: Mapping[str, Stateful]) -> None:
        states = {name: part.state_dict() for name, part in parts.items()}
        if not self._processes.is_first:
            return
        # Renamed when it is whole: the process may be killed, and the folder copied to S3, at any moment.
        partial = self.folder / f"{FILE}.partial"
        found: dict[str, torch.Tensor] = {}
        tree = _encode({"settings": self._settings, "states": states}, found)
        tensors.write(partial, found, {TREE: json.dumps(tree)})
        partial.replace(self.folder / FILE)

    def restore(self, parts: Mapping[str, Stateful]) -> bool:
        """Give these parts the state that was saved, and return whether there was one to go on from.

        One that cannot be read, or is of a training with other settings, is left aside with a printed sentence.
        """
        states = self._processes.from_first(self._read() if self._processes.is_first else None)
        if states is None:
            return False
        for name, part in parts.items():
            part.load_state_dict(states[name])
        return True

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / FILE
        if not path.exists():
            return None
        try:
            found, text = tensors.read(path)
            saved = _decode(json.loads(text[TREE]), found)
            settings, states = saved["settings"], saved["states"]
        except Exception as error:  # a damaged file may have any error
            self._processes.print(
                f"The checkpoint {path} cannot be read ({type(error).__name__}); the training begins anew."
            )
            return None
        names = sorted(
            name for name in settings | self._settings if settings.get(name) != self._settings.get(name)
        )
        if names:
            self._processes.print(
                f"The checkpoint {path} is of another training: it has other values of {', '.join(names)}. "
                "The training begins anew and replaces it."
            )
            return None
        return states


def _encode(value: Any, found: dict[str, torch.Tensor]) -> Any:
    """Return a value as JSON can hold it, exactly; its tensors are put into ``found`` and named in it.

    :raises TypeError: it holds something that is neither a number, text, tensor nor a container of them.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        name = str(len(found))
        found[name] = value
        return {"tensor": name}
    if isinstance(value, list):
        return [_encode(item, found) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, found) for item in value]}
    if isinstance(value, Mapping):
        # As pairs: an optimizer's state has numbers as keys.
        items = [[_encode(key, found), _encode(item, found)] for key, item in value.items()]
        versions = getattr(value, "_metadata", None)
        return {"items": items} if versions is None else {"items": items, tensors.VERSIONS: versions}
    raise TypeError(f"A checkpoint can't hold a {type(value).__name__}.")


def _decode(value: Any, found: Mapping[str, torch.Tensor]) -> Any:
    """Return what :func:`_encode` was given; mappings become dictionaries."""
    if isinstance(value, list):
        return [_decode(item, found) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return found[value["tensor"]]
    if "tuple" in value:
        return tuple(_decode(item, found) for item in value["tuple"])
    mapping = {_decode(key, found): _decode(item, found) for key, item in value["items"]}
    versions = value.get(tensors.VERSIONS)
    return mapping if versions is None else tensors.with_versions(mapping, versions)


def find(
    settings: Mapping[str, Any], processes: Processes, seconds_between: float = SECONDS_BETWEEN
) -> Checkpoints | None:
    """Return the checkpoints of this job, if it is to have any.

    SageMaker makes the folder when the job's definition has a CheckpointConfig, fills it with what an earlier
    attempt saved, and copies what is written to it to S3 while the job runs.
    """
    folder = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"), "checkpoints")
    if not processes.from_first(folder.is_dir()):
        return None
    return Checkpoints(folder, settings, processes, seconds_between)
