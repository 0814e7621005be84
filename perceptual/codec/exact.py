"""What the probabilities of values are made from, in whole numbers: the same on every machine.

A range coder fails wholly if encoder and decoder differ in the last bit of one probability, and
sums of floating-point numbers depend on the order in which a machine takes them. Here weights,
activations and tables are whole multiples of 2^-14, carried in float64: as long as all sums stay
below 2^53, which is checked when a model is made, every product and every sum is exact, whatever
the order, on any processor or accelerator; and so the network is a function of whole numbers (after
J. Ballé, N. Johnston and D. Minnen, "Integer Networks for Data Compression with Latent-Variable
Models", ICLR 2019, without their need for training with 8 bits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.codec.card import (
    GREATEST_PRICE,
    HIGHEST_LAMBDA,
    LEAST_PRICE,
    LOWEST_LAMBDA,
)
from perceptual.codec.network import (
    KNOTS,
    LEAST_LOG2_SCALE,
    AlongRate,
    CodecNetwork,
    Residual,
    Step,
    by_families,
    log_size,
    of_families,
    places_of_steps,
)

BITS = 14
ONE = 2**BITS
LARGEST = 2**22
"""Of activations: 256. They are cut off there."""
RATE_STEPS = 1024
"""Between two knots of a table along lambda."""
HIGHEST_RATE = (KNOTS - 1) * RATE_STEPS
"""Of the network. Beyond, its steps are made finer, by half for every RATE_STEPS."""
FINEST_RATE = HIGHEST_RATE + 2 * RATE_STEPS
LEVELS_AN_OCTAVE = 8
HIGHEST_LOG2_SCALE = 7
FIRST_LOG2_SCALE = LEAST_LOG2_SCALE + 0.25
"""Of level 1. Level 0 is all below: its values are not coded, they are their means."""
LEVELS = 1 + int((HIGHEST_LOG2_SCALE - FIRST_LOG2_SCALE) * LEVELS_AN_OCTAVE)


class NotExact(ValueError):
    """A model's weights are too large for whole numbers in float64; the message says which."""


def rate_of(price: float) -> int:
    """The place of a lambda: from 0 to HIGHEST_RATE between the first knot and the last, and on to
    FINEST_RATE where steps are finer than the network's; four times lambda halves them.

    Raises ValueError unless it is from LEAST_PRICE to GREATEST_PRICE.
    """
    if not LEAST_PRICE <= price <= GREATEST_PRICE:
        raise ValueError(f"lambda is from {LEAST_PRICE:g} to {GREATEST_PRICE:g}, not {price:g}")
    low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
    at = (math.log(price) - low) / (high - low)
    finer = max(math.log2(price / HIGHEST_LAMBDA), 0.0) / 2
    return round(min(max(at, 0.0), 1.0) * HIGHEST_RATE) + round(finer * RATE_STEPS)


def shares_of(rate: int) -> Tensor:
    """(1, KNOTS): the share of each knot at a place, as networks take it."""
    knots = torch.arange(KNOTS, dtype=torch.float32)
    place = min(rate, HIGHEST_RATE) / RATE_STEPS
    shares: Tensor = (1 - (place - knots).abs()).clamp_min(0)
    return shares[None]


def whole(values: Tensor) -> Tensor:
    """float64: the nearest whole multiples of 2^-BITS."""
    rounded: Tensor = (values.detach().double() * ONE).round()
    return rounded


@dataclass(frozen=True)
class Told:
    """Of one step: means, in 2^-BITS of whitened latents, and levels of scale: (C, h, w) each."""

    mean: Tensor
    level: Tensor


class ExactEntropy:
    """The part of a network that decoding repeats, in whole numbers, for one picture at a time.

    widths : (KNOTS, C) int32, the steps of the quantiser, in 2^-BITS of whitened latents: they are
        powers, which machines may round differently, and so kept with the model.
    """

    def __init__(self, network: CodecNetwork, widths: Tensor) -> None:
        # Far values are cut off, so all that a convolution sees is at most LARGEST.
        synthesis = network.hyper_synthesis
        self.enter = _Conv(synthesis.enter, "hyper_synthesis.enter")
        self.spread = _Conv(synthesis.spread, "hyper_synthesis.spread")
        self.residual = _Residual(synthesis.residual, "hyper_synthesis.residual")
        self.steps = [
            _Step(step, f"steps.{s}")  # type: ignore[arg-type]
            for s, step in enumerate(network.steps)
        ]
        self.log2_widths = _Along(network.log2_step)
        self.hyper_means = _Along(network.hyper_mean)
        self.hyper_log2_scales = _Along(network.hyper_log2_scale)
        self.widths = widths.double()
        self.places = places_of_steps(network.shape.coarse)
        self.back = self.places.flatten().argsort()

    def hyper(self, rate: int) -> Told:
        """Means, in 2^-BITS, and levels, (C, 1, 1) each, of hyper latents, whose step is 1."""
        mean, log2_scale = self.hyper_means(rate), self.hyper_log2_scales(rate)
        return Told(mean[:, None, None], _levels(log2_scale)[:, None, None])

    def width(self, rate: int) -> Tensor:
        """(C, 1, 1): the steps of the quantiser, in 2^-BITS of whitened latents."""
        halvings, share = divmod(max(rate - HIGHEST_RATE, 0), RATE_STEPS)
        # Straight between one half and the next: no power is taken, and this fraction is exact.
        finer = float(Fraction(2 * RATE_STEPS - share, 2 * RATE_STEPS << halvings))
        width: Tensor = (_between(self.widths, rate) * finer).floor().clamp_min(1)
        return width[:, None, None]

    def begin(self, hyper: Tensor, rate: int) -> Tensor:
        """The state (S, 2 h, 2 w) for hyper latents (C, h, w), in 2^-BITS."""
        x = self.spread(self.enter(hyper.clamp(-LARGEST, LARGEST)).clamp_min(0))
        return self.residual(functional.pixel_shuffle(x[None], 2)[0], rate)

    def step(self, s: int, state: Tensor, decoded: list[Tensor], rate: int) -> tuple[Tensor, Told]:
        """The next state, and what is told of step s when those before it are decoded."""
        state, mean, log2_scale = self.steps[s](state, decoded, rate)
        log2_width = self.log2_widths(rate) - max(rate - HIGHEST_RATE, 0) * (ONE // RATE_STEPS)
        log2_scale = log2_scale - log2_width[:, None, None]
        return state, Told(mean, _levels(log2_scale))

    def join(self, parts: list[Tensor]) -> Tensor:
        """(C, 2 h, 2 w) of the parts (C, h, w) of the steps."""
        return functional.pixel_shuffle(torch.cat(parts)[self.back][None], 2)[0]


def exact_widths(network: CodecNetwork) -> Tensor:
    """(KNOTS, C) int32: the steps of the quantiser as `ExactEntropy` takes them."""
    widths = whole(network.log2_step.table.double().exp2())
    return widths.clamp(1, LARGEST).to(torch.int32)


def _levels(log2_scale: Tensor) -> Tensor:
    """Levels of scales, each the nearest: whole numbers in, whole numbers out."""
    step = ONE // LEVELS_AN_OCTAVE
    above = log2_scale - (FIRST_LOG2_SCALE * ONE - step // 2)
    level: Tensor = (above / step).floor().add(1).clamp(0, LEVELS - 1)
    return level.to(torch.int64)


def _between(table: Tensor, rate: int) -> Tensor:
    """A table's row at a place between two knots, rounded down to a whole number."""
    rate = min(rate, HIGHEST_RATE)
    knot = min(rate // RATE_STEPS, KNOTS - 2)
    share = rate - knot * RATE_STEPS
    return ((table[knot] * (RATE_STEPS - share) + table[knot + 1] * share) / RATE_STEPS).floor()


class _Along:
    def __init__(self, along: AlongRate) -> None:
        self.table = whole(along.table)

    def __call__(self, rate: int) -> Tensor:
        return _between(self.table, rate)


class _Conv:
    """A convolution with stride 1 whose picture goes on with zeros, 1x1 or 3x3, whole or by groups
    of channels."""

    def __init__(self, conv: nn.Conv2d, name: str) -> None:
        weight = whole(conv.weight)
        self.bias = None if conv.bias is None else whole(conv.bias) * ONE
        largest = weight.abs().sum((1, 2, 3)) * LARGEST
        if self.bias is not None:
            largest = largest + self.bias.abs()
        if not float(largest.max()) < 2**52:
            raise NotExact(f"the weights of {name} are too large for sums to be exact")
        self.weight = weight.view(conv.groups, -1, *weight.shape[1:])

    def __call__(self, x: Tensor) -> Tensor:
        """(C', h, w) of (C, h, w), in 2^-BITS, cut off at LARGEST."""
        height, width = x.shape[1:]
        groups, told = self.weight.shape[:2]
        side = self.weight.shape[3]
        around = functional.pad(x, [side // 2] * 4)
        around = around.view(groups, -1, *around.shape[1:])
        total = torch.zeros(groups, told, height * width, dtype=torch.float64)
        for i in range(side):
            for j in range(side):
                part = around[:, :, i : i + height, j : j + width].flatten(2)
                total += self.weight[:, :, :, i, j] @ part
        total = total.flatten(0, 1)
        if self.bias is not None:
            total += self.bias[:, None]
        rounded: Tensor = ((total + ONE // 2) / ONE).floor().clamp(-LARGEST, LARGEST)
        return rounded.view(-1, height, width)


class _Residual:
    def __init__(self, residual: Residual, name: str) -> None:
        self.conv = _Conv(residual.conv, f"{name}.conv")
        self.point = _Conv(residual.point, f"{name}.point")
        self.shift = _Along(residual.shift)

    def __call__(self, x: Tensor, rate: int) -> Tensor:
        inside = self.conv(x) + self.shift(rate)[:, None, None]
        change = self.point(inside.clamp(0, LARGEST))
        return (x + change).clamp(-LARGEST, LARGEST)


class _Step:
    def __init__(self, step: Step, name: str) -> None:
        self.take = None if step.take is None else _Conv(step.take, f"{name}.take")
        self.near = None if step.near is None else _Conv(step.near, f"{name}.near")
        self.residual = _Residual(step.residual, f"{name}.residual")
        self.mix = _Conv(step.mix, f"{name}.mix")
        self.tell = _Conv(step.tell, f"{name}.tell")

    def __call__(
        self, state: Tensor, decoded: list[Tensor], rate: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        shown = [each.clamp(-LARGEST, LARGEST) for each in decoded]
        if self.take is not None:
            taken = self.take(torch.cat([shown[-1], _log_size(shown[-1])]))
            state = (state + taken).clamp(-LARGEST, LARGEST)
        state = self.residual(state, rate)
        mean, log2_scale = self.tell(self.mix(state).clamp_min(0)).chunk(2)
        if self.near is not None:
            near_mean, near_log2_scale = of_families(self.near(by_families(shown, _log_size)))
            mean, log2_scale = mean + near_mean, log2_scale + near_log2_scale
        return state, mean, log2_scale


def _log_size(values: Tensor) -> Tensor:
    """`network.log_size`, which float64 holds exactly, rounded down to whole numbers."""
    size: Tensor = (log_size(values / ONE) * ONE).floor()
    return size
