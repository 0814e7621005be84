"""The weights of a metric while they are learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Weights(nn.Module):
    """The weights as they are learned: a gain for each layer, times a factor for each channel.

        w_lc = gain_l / C_l * factor_lc / typical_lc

    `typical` is the mean of each component over what is fitted: those of a network's channels
    differ by orders of magnitude, and one step size must do for all. `drift`, the mean square of
    what factors and gains changed, pulls both to where they began: a few hundred judgments say
    something of six layers, and little of five hundred channels; and a layer that is of no use for
    the distortions at hand may be for others.
    """

    layer: Tensor
    typical: Tensor
    before: Tensor
    gain_before: Tensor
    size: Tensor

    def __init__(self, layers: Sequence[int], typical: Tensor, begun: Tensor | None) -> None:
        super().__init__()
        size = torch.tensor(layers, dtype=torch.float32)
        layer = torch.repeat_interleave(torch.arange(len(layers)), torch.tensor(layers))
        typical = typical.clamp_min(1e-12)
        if begun is None:
            gain, factor = torch.full_like(size, 1 / len(layers)), torch.ones_like(typical)
        else:
            share = begun * typical
            gain = torch.zeros_like(size).index_add(0, layer, share)
            factor = share * (size / gain.clamp_min(1e-12))[layer]
        self.gain, self.factor = nn.Parameter(gain), nn.Parameter(factor.clone())
        for name, value in (
            *(("layer", layer), ("typical", typical)),
            *(("before", factor.clone()), ("gain_before", gain.clone()), ("size", size)),
        ):
            self.register_buffer(name, value)

    def forward(self) -> Tensor:
        """(K,): the weights, each >= 0."""
        gain, factor = self.gain.clamp_min(0), self.factor.clamp_min(0)
        return (gain / self.size)[self.layer] * factor / self.typical

    def drift(self) -> Tensor:
        gain = (self.gain - self.gain_before) / self.gain_before.mean()
        return (self.factor - self.before).square().mean() + gain.square().mean()

    @torch.no_grad()
    def project(self) -> None:
        """Back on what weights may be, >= 0, after a step."""
        self.gain.clamp_(min=0)
        self.factor.clamp_(min=0)
