"""How the network begins: as a transform codec by principal components.

The linear maps of analysis and synthesis, without the residual blocks between them (which begin as
nothing), are the principal components of blocks of 4x4 and 8x8 pixels, each made of the one before.
At 16x16 pixels, only the strongest of the four blocks of 8x8 are mixed once more; of the others,
each latent still shows one of the four. Edges are few values there: on photographs, with contexts,
that takes 5 to 6 % less than components of 16x16 pixels throughout (rate + lambda * distortion).

Step widths are what is best for independent normal values at each lambda, means are 0, and scales
those of the whole set. Training from there is far shorter than from random maps: it begins at about
JPEG's rate and distortion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.codec.card import HIGHEST_LAMBDA, LOWEST_LAMBDA
from perceptual.codec.network import (
    FAMILY,
    KNOTS,
    UNSHUFFLE,
    Block,
    Blocks,
    CodecNetwork,
    Step,
    along_rate,
)

LEAST_DEVIATION = 1e-3
HYPER_DEVIATION = 1.5
"""Of hyper latents, in their steps: with less, noise hides what they tell."""
MIXED = 12
"""Of the components of 8x8 pixels: those of which the four in 16x16 pixels are mixed again."""
LEAST_SEEN, MOST_TOLD = 0.05, 0.25
"""Deviations of channels, in samples from -1 to 1: weaker ones are seen as if they had this, and
stronger ones are changed by blocks as if they had this. At 1 bit a pixel, errors are about as large
as the first, and steps of the quantiser as the second."""


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
        mixed = min(FAMILY * MIXED, seen) if down is analysis.to_coarse else seen
        seen = _principal(x[:, :seen], mixed, down, up, chance)
        x = down(x)
        for blocks in both:
            _even(blocks, x.std((0, 2, 3)))
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
    x: Tensor, mixed: int, down: nn.Conv2d, up: nn.Conv2d, chance: torch.Generator
) -> int:
    """Set one linear map, and its way back, to the principal components of x (N, C, h, w); returns
    how many channels of the result show any.

    mixed : of how many of the channels, from the first on. Others go on as they are, the family
        with most variance first. Where the map has more channels than there are components, the
        last ones show random sums of them.
    """
    values = x.permute(1, 0, 2, 3).flatten(1).double()
    mean = values.mean(1).float()
    _, along = torch.linalg.eigh(torch.cov(values[:mixed]))
    rows = torch.eye(len(values))
    rows[:mixed, :mixed] = along.flip(1).T.float()  # the strongest first
    strength = (values[mixed:].square().mean(1) - values[mixed:].mean(1) ** 2).view(-1, FAMILY)
    families = (
        mixed + FAMILY * strength.sum(1).argsort(descending=True)[:, None] + torch.arange(FAMILY)
    )
    rows = rows[torch.cat([torch.arange(mixed), families.flatten()])][: down.out_channels]
    kept, seen = len(rows), len(values)
    mix = torch.randn(down.out_channels - kept, kept, generator=chance) / math.sqrt(kept)
    nn.init.zeros_(down.weight)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)  # type: ignore[arg-type]
    down.weight[:, :seen, 0, 0] = torch.cat([rows, mix @ rows])
    down.bias.copy_(-down.weight[:, :seen, 0, 0] @ mean)  # type: ignore[union-attr]
    up.weight[:seen, :kept, 0, 0] = rows.T
    up.bias[:seen] = mean  # type: ignore[index]
    return kept


def _even(blocks: Blocks, deviation: Tensor) -> None:
    """Have blocks see strong and weak channels alike, and change none by more than it is."""
    for block in blocks:
        assert isinstance(block, Block)  # noqa: S101
        block.seen.copy_((deviation.square() + LEAST_SEEN**2).rsqrt()[:, None, None])
        block.told.copy_(deviation.clamp(LEAST_DEVIATION, MOST_TOLD)[:, None, None])


@torch.no_grad()
def begin_probabilities(network: CodecNetwork, crops: Tensor, *, seed: int) -> None:
    """Have values begin as independent normal ones, with the scales that they have in all crops.

    crops : (N, 3, H, W) in [0, 1], some hundred parts of photographs, H and W multiples of 64.
    """
    chance = torch.Generator().manual_seed(seed)
    low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
    rate = along_rate(low + (high - low) * torch.rand(len(crops), generator=chance))
    y, _ = network.analysed(crops, rate)
    _begin_hyper(network, y)
    for step, part in zip(network.steps, network.split(y), strict=True):
        assert isinstance(step, Step)  # noqa: S101
        deviation = part.square().mean((0, 2, 3)).sqrt().clamp_min(LEAST_DEVIATION)
        step.tell.bias[len(deviation) :] = deviation.log2()  # type: ignore[index]


def _begin_hyper(network: CodecNetwork, y: Tensor) -> None:
    """Hyper latents, made to be seen, with the probabilities of independent normal values."""
    leave = network.hyper_analysis.leave
    deviation = network.hyper_analysis(y).std((0, 2, 3)).clamp_min(LEAST_DEVIATION)
    leave.weight.mul_((HYPER_DEVIATION / deviation)[:, None, None, None])
    leave.bias.mul_(HYPER_DEVIATION / deviation)  # type: ignore[union-attr]
    h: Tensor = network.hyper_analysis(y)
    network.hyper_mean.table.copy_(h.mean((0, 2, 3)).expand_as(network.hyper_mean.table))
    network.hyper_log2_scale.table.fill_(math.log2(HYPER_DEVIATION))
