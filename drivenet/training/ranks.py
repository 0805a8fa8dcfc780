"""One process of several that train together, as ``torchrun`` starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import distributed

from drivenet.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """Which process this is.

    Args:
        rank: its number among all, from 0.
        world: how many there are.
        local: its number on this machine: which GPU is its own.

    Raises:
        UsageError: if the numbers do not fit each other.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world or self.local < 0:
            raise UsageError(f"rank {self.rank} of {self.world}, local {self.local}", "what torchrun sets")

    @property
    def first(self) -> bool:
        """Whether this one validates, saves and reports."""
        return self.rank == 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Ranks:
        """As ``torchrun`` says it; alone where it says nothing.

        Raises:
            UsageError: for a variable that is no number.
        """
        values = {}
        for field, variable, alone in (("rank", "RANK", 0), ("world", "WORLD_SIZE", 1), ("local", "LOCAL_RANK", 0)):
            text = environment.get(variable, str(alone))
            if not text.isdecimal():
                raise UsageError(f"{variable}={text!r}", "a number, as torchrun sets it")
            values[field] = int(text)
        return cls(**values)

    def device(self, name: str) -> torch.device:
        """``cpu``, ``cuda`` or ``auto`` (CUDA where there is one) as this process's own device.

        Raises:
            UsageError: where there are fewer GPUs than processes.
        """
        gpus = torch.cuda.device_count()
        if name == "cpu" or (name == "auto" and not gpus):
            return torch.device("cpu")
        if not gpus:
            raise UsageError(f"device {name} without a GPU", "a GPU that PyTorch sees", "use --device cpu")
        if self.local >= gpus:
            raise UsageError(f"process {self.local} of this machine", f"at most its {gpus} GPUs", "use --device cpu")
        return torch.device("cuda", self.local)

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Joined with the other processes, if there are any."""
        if self.world == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values


ALONE = Ranks()  #: the only process there is
