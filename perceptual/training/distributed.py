"""Training on several devices at once: what each process does beside its own work.

Under a launcher (`torchrun`), each process takes its part of every batch; gradients are averaged,
so that all take the same step. Alone, nothing of this does anything.
"""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

LONGEST_WAIT = timedelta(days=1)


def begin() -> None:
    """Join the processes of a launcher, if this one was started by one."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not dist.is_initialized():
        # A process may be held up for long: by others of its machine, or by who stopped it.
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=LONGEST_WAIT)


def end() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def wait() -> None:
    """Until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process writes and tells: one of them does."""
    return rank() == 0


def part_of(at: Tensor) -> Tensor:
    """This process's part of a batch, never empty."""
    if not dist.is_initialized():
        return at
    return at.tensor_split(min(dist.get_world_size(), len(at)))[rank() % len(at)]


def average_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Make the gradients of all processes their mean."""
    if not dist.is_initialized():
        return
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()


def device() -> torch.device:
    """The accelerator of this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def device_name() -> str:
    """What this process trains on: an accelerator's product name, or "CPU"."""
    found = device()
    return torch.cuda.get_device_name(found) if found.type == "cuda" else "CPU"
