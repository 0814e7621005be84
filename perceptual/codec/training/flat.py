"""All parameters of a network as one vector, and their gradients as another.

Averaging gradients between processes, measuring and shortening them, and a step of the optimiser
are then one operation each instead of some hundred.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch import distributed as dist


class Flat:
    """The parameters of `network`, which become views of `values`; gradients, of `gradient`.

    kind : a parameter's kind by its name and itself; those of one kind lie together.
    parts : of each kind, with its parameters: where each lies.
    """

    def __init__(self, network: nn.Module, kind: Callable[[str, nn.Parameter], str]) -> None:
        named = [(kind(name, each), each) for name, each in network.named_parameters()]
        named.sort(key=lambda each: each[0])
        self.values = torch.cat([each.detach().flatten() for _, each in named])
        self.gradient = torch.zeros_like(self.values)
        self.parts: dict[str, list[tuple[slice, nn.Parameter]]] = {}
        at = 0
        for name, each in named:
            part = slice(at, at + each.numel())
            each.data = self.values[part].view_as(each)
            each.grad = self.gradient[part].view_as(each)
            self.parts.setdefault(name, []).append((part, each))
            at = part.stop

    def all_of(self, kind: str) -> slice:
        """Where all parameters of a kind lie."""
        parts = self.parts[kind]
        return slice(parts[0][0].start, parts[-1][0].stop)

    def average(self) -> None:
        """Make the gradients of all processes their mean."""
        if dist.is_initialized():
            dist.all_reduce(self.gradient)
            self.gradient /= dist.get_world_size()

    def shorten(self, longest: float) -> Tensor:
        """Make the gradient no longer than this; returns how long it was."""
        length: Tensor = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((longest / (length + 1e-12)).clamp_max(1.0))
        return length
