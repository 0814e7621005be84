"""How the network begins: as a transform codec by principal components.

The linear maps of analysis and synthesis, without the residual blocks between them (which begin as
nothing), are the principal components of blocks of 4x4, 8x8 and 16x16 pixels, each made of the one
before; step widths are what is best for independent normal values at each lambda. Training from
there is far shorter than from random maps: it begins at about the rate and distortion of JPEG.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.codec.card import HIGHEST_LAMBDA, LOWEST_LAMBDA
from perceptual.codec.network import KNOTS, UNSHUFFLE, Block, Blocks, CodecNetwork

LEAST_DEVIATION = 1e-3


@torch.no_grad()
def begin(network: CodecNetwork, crops: Tensor, *, seed: int) -> None:
    """Set the linear maps, the deviations and the steps.

    crops : (N, 3, H, W) in [0, 1], some hundred parts of photographs, H and W multiples of 16.
    """
    chance = torch.Generator().manual_seed(seed)
    analysis, synthesis = network.analysis, network.synthesis
    x = functional.pixel_unshuffle(crops * 2 - 1, UNSHUFFLE)
    seen = x.shape[1]
    for down, up, *both in (
        (analysis.enter, synthesis.leave, analysis.fine, synthesis.fine),
        (analysis.to_middle, synthesis.to_fine, analysis.middle, synthesis.middle),
        (analysis.to_coarse, synthesis.to_middle, analysis.coarse, synthesis.coarse),
    ):
        seen = _principal(x, seen, down, up, chance)
        x = down(x)
        for blocks in both:
            _even(blocks, x)
        coarse = x
        x, seen = functional.pixel_unshuffle(x, 2), 4 * seen
    network.deviation.copy_(coarse.std((0, 2, 3)).clamp_min(LEAST_DEVIATION))
    best = torch.tensor([_best_step(price) for price in _knots()])
    network.log2_step.table.copy_(best.log2()[:, None] - network.deviation.log2())


def _knots() -> list[float]:
    low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
    return [math.exp(low + (high - low) * k / (KNOTS - 1)) for k in range(KNOTS)]


def _best_step(price: float) -> float:
    """The step, in samples from -1 to 1, at which one bit more of a value is worth what it saves.

    With D the squared error, in samples from 0 to 1, of each value of an orthonormal transform that
    gets bits at all, one D less costs 3 / (2 D ln 2) bits a pixel and saves price * 255^2; and D is
    step^2 / 12 of samples from 0 to 1.
    """
    return 2 * math.sqrt(12 * 3 / (2 * math.log(2) * price)) / 255


def _principal(
    x: Tensor, seen: int, down: nn.Conv2d, up: nn.Conv2d, chance: torch.Generator
) -> int:
    """Set one linear map, and its way back, to the principal components of x (N, C, h, w), of which
    the first `seen` channels count; returns how many channels of the result do.

    Where the map has more channels than there are components, the others show random sums of them.
    """
    values = x[:, :seen].permute(1, 0, 2, 3).flatten(1).double()
    mean = values.mean(1).float()
    _, along = torch.linalg.eigh(torch.cov(values))
    along = along.flip(1).T.float()[: down.out_channels]  # the strongest first
    kept = len(along)
    mix = torch.randn(down.out_channels - kept, kept, generator=chance) / math.sqrt(kept)
    nn.init.zeros_(down.weight)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)  # type: ignore[arg-type]
    down.weight[:, :seen, 0, 0] = torch.cat([along, mix @ along])
    down.bias.copy_(-down.weight[:, :seen, 0, 0] @ mean)  # type: ignore[union-attr]
    up.weight[:seen, :kept, 0, 0] = along.T
    up.bias[:seen] = mean  # type: ignore[index]
    return kept


def _even(blocks: Blocks, x: Tensor) -> None:
    """Have convolutions see strong and weak channels more alike, and values of about one."""
    deviation = x.std((0, 2, 3)).clamp_min(LEAST_DEVIATION)
    shown = deviation.sqrt()
    for block in blocks:
        assert isinstance(block, Block)  # noqa: S101
        block.conv.weight.div_((shown * shown.square().mean().sqrt())[:, None, None])
