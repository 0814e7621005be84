"""All parameters of a network as one vector, and their gradients as another.

Averaging gradients between processes, measuring and shortening them, and a step of the optimiser
are then one operation each instead of some hundred.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist


class Flat:
    """The parameters of `network`, which become views of `values`; gradients, of `gradient`."""

    def __init__(self, network: nn.Module) -> None:
        parameters = list(network.parameters())
        self.values = nn.Parameter(torch.cat([each.detach().flatten() for each in parameters]))
        self.gradient = torch.zeros_like(self.values)
        self.values.grad = self.gradient
        at = 0
        for each in parameters:
            part = slice(at, at + each.numel())
            each.data = self.values.data[part].view_as(each)
            each.grad = self.gradient[part].view_as(each)
            at = part.stop

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
