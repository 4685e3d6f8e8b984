"""The processes of one training job, alone or started by torchrun on one host or several."""

import gc
import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from . import gpu
from .errors import ClassifierError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    :param rank: 0 for the one that prints and saves.
    :param size: how many there are.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def print(self, line: str) -> None:
        """Print a line once, whatever the number of processes."""
        if self.is_first:
            print(line, flush=True)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over the processes."""
        if self.size == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            return DistributedDataParallel(network, device_ids=[self.device.index])
        return DistributedDataParallel(network)

    def sum(self, values: list[float]) -> list[float]:
        """Add numbers up over the processes."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def from_first(self, value: Any) -> Any:
        """Return the first process's value in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def share_buffers(self, network: nn.Module) -> None:
        """Give every process the first one's buffers: the statistics of batch normalization.

        Each process's statistics are those of its share of the batches, and the first one's are saved.
        """
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def gather(self, part: object) -> list:
        """Return every process's part, in the order of their ranks."""
        parts: list = [part] * self.size
        if self.size > 1:
            dist.all_gather_object(parts, part)
        return parts


@contextmanager
def join() -> Iterator[Processes]:
    """Join the processes that torchrun's environment describes; without it, be alone.

    :raises ClassifierError: the job has several hosts, but torchrun was not told of them; or there is a GPU that
        PyTorch can't use.
    """
    hosts = json.loads(os.environ.get("SM_HOSTS", "[]"))
    if len(hosts) > 1 and "WORLD_SIZE" not in os.environ:
        raise ClassifierError(
            f"The job has {len(hosts)} hosts, but each would train a model of its own; give the job the "
            "hyperparameter sagemaker_torch_distributed_enabled=true."
        )
    rank = int(os.environ.get("RANK", "0"))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    has_gpu = gpu.device().type == "cuda"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    elif "LOCAL_WORLD_SIZE" in os.environ:
        # torchrun limits each process to one thread, which leaves the host's other cores idle.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ["LOCAL_WORLD_SIZE"])))
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(os.cpu_count() or 1)
    if size == 1:
        yield Processes(rank=0, size=1, device=device)
        return
    # The defaults of this module's functions keep the group that exists when it is imported, as it is by the first
    # DistributedDataParallel. The threads of a group that is kept outlive the interpreter, which then may abort.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield Processes(rank, size, device)
    finally:
        dist.destroy_process_group()
        gc.collect()  # a DistributedDataParallel keeps the group too, and refers to itself
