"""Checkpoints: the whole state of a training on disk, from which a job that was ended goes on."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from distributed import Processes

FILE = "checkpoint.pt"
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
            # As numbers alone: checkpoints are read without allowing them to run code.
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
        with partial.open("wb") as file:
            torch.save({"settings": self._settings, "states": states}, file)
            file.flush()
            os.fsync(file.fileno())
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
            saved = torch.load(path, map_location="cpu", weights_only=True)
            settings, states = saved["settings"], saved["states"]
        except Exception as error:  # a damaged file makes torch.load raise almost anything
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
