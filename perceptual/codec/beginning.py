"""How the network begins: as a transform codec by principal components, with fitted probabilities.

The linear maps of analysis and synthesis, without the residual blocks between them (which begin as
nothing), are the principal components of blocks of 4x4, 8x8 and 16x16 pixels, each made of the one
before; step widths are what is best for independent normal values at each lambda. Means and scales
begin as the weighted sums of random features that make the values of photographs likeliest.
Training from there is far shorter than from random maps: it begins at about JPEG's rate and
distortion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.codec.card import HIGHEST_LAMBDA, LOWEST_LAMBDA
from perceptual.codec.network import (
    KNOTS,
    UNSHUFFLE,
    Block,
    Blocks,
    CodecNetwork,
    Step,
    along_rate,
    bits_of,
)

LEAST_DEVIATION = 1e-3
HYPER_DEVIATION = 1.5
"""Of hyper latents, in their steps: with less, noise hides what they tell."""
RIDGE = 1e-3
FITTED_IN, FITTED_ON, FITTED_AT = 300, 1024, 0.05
"""Steps, places in each, and the learning rate, which falls to nothing."""


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


@torch.no_grad()
def begin_probabilities(network: CodecNetwork, crops: Tensor, *, seed: int) -> None:
    """Fit what tells means and scales to the values that a network's analysis makes.

    crops : (N, 3, H, W) in [0, 1], some hundred parts of photographs, H and W multiples of 64.
    """
    chance = torch.Generator().manual_seed(seed)
    low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
    rate = along_rate(low + (high - low) * torch.rand(len(crops), generator=chance))
    y, _ = network.analysed(crops, rate)
    h = _begun_hyper(network, y)
    state = network.hyper_synthesis(h.round(), rate)
    width = network.steps_of_rate(rate)
    before = None
    for step, part in zip(network.steps, network.split(y), strict=True):
        assert isinstance(step, Step)  # noqa: S101
        state = step.informed(state, before, rate)
        # Of about one, with thresholds about everywhere.
        deviation = float(state.std()) * math.sqrt(state.shape[1])
        nn.init.normal_(step.mix.weight, 0, 1 / deviation, generator=chance)
        nn.init.normal_(step.mix.bias, 0, 0.5, generator=chance)  # type: ignore[arg-type]
        features = step.features(state)
        _fit(step.tell, features, part, width.expand_as(part), chance)
        mean, _ = step.tell(features).chunk(2, 1)
        before = mean + width * ((part - mean) / width).round()


def _begun_hyper(network: CodecNetwork, y: Tensor) -> Tensor:
    """Hyper latents, made to be seen, with the probabilities of independent normal values."""
    leave = network.hyper_analysis.leave
    deviation = network.hyper_analysis(y).std((0, 2, 3)).clamp_min(LEAST_DEVIATION)
    leave.weight.mul_((HYPER_DEVIATION / deviation)[:, None, None, None])
    leave.bias.mul_(HYPER_DEVIATION / deviation)  # type: ignore[union-attr]
    h: Tensor = network.hyper_analysis(y)
    network.hyper_mean.table.copy_(h.mean((0, 2, 3)).expand_as(network.hyper_mean.table))
    network.hyper_log2_scale.table.fill_(math.log2(HYPER_DEVIATION))
    return h


def _fit(
    tell: nn.Conv2d, features: Tensor, values: Tensor, width: Tensor, chance: torch.Generator
) -> None:
    """Set the weighted sums of features (N, S, h, w) that tell means and log2 scales of values
    (N, C, h, w), by most likelihood of the values in steps of `width`, as wide as they.

    Features are made white first: what they have in common would hide in what they differ.
    """
    shown, sought, wide = (each.movedim(1, 3).flatten(0, 2) for each in (features, values, width))
    x = torch.cat([shown, torch.ones(len(shown), 1)], 1).double()
    gram = x.T @ x / len(x)
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    root = torch.linalg.cholesky(gram)
    white = torch.linalg.solve_triangular(root, x.T, upper=False).T.float()
    weights = nn.Parameter(torch.zeros(white.shape[1], tell.out_channels))
    adam = torch.optim.Adam([weights], lr=FITTED_AT)
    for number in range(FITTED_IN):
        adam.param_groups[0]["lr"] = FITTED_AT * (1 - number / FITTED_IN)
        some = torch.randint(len(white), (FITTED_ON,), generator=chance)
        with torch.enable_grad():
            mean, log2_scale = (white[some] @ weights).chunk(2, 1)
            left = (sought[some] - mean) / wide[some]
            noise = torch.rand(left.shape, generator=chance) - 0.5
            bits = bits_of(left + noise, log2_scale - wide[some].log2())
            adam.zero_grad()
            bits.sum(1).mean().backward()  # type: ignore[no-untyped-call]
        adam.step()
    found = torch.linalg.solve_triangular(root.T, weights.detach().double(), upper=True).float()
    tell.weight.copy_(found[:-1].T[:, :, None, None])
    tell.bias.copy_(found[-1])  # type: ignore[union-attr]
