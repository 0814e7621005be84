"""The network of the learned codec: a hyperprior that tells means and scales, with a context.

    x --analysis--> y --round((y - mean) / step)--> q --mean + step q--> y_hat --synthesis--> x_hat
                    |
                    +--hyper analysis--> h --round--> h_hat --hyper synthesis--> state
                                               state + what is decoded --> mean, log2 scale of next

D. Minnen, J. Ballé and G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image
Compression", NeurIPS 2018, for the whole; J. Li, B. Li and Y. Lu, "Neural Video Compression with
Diverse Contexts", CVPR 2023, for the order in which values are decoded: in four steps, in each of
which each of four groups of channels shows another one of the four places of every 2x2.

One network codes at all rates. What depends on lambda, the price of distortion in bits, lies in
tables over log lambda (`AlongRate`): they are read without a function whose last bit could differ
between machines. All that the probabilities depend on is made of convolutions, additions and
rectifiers alone, for the same reason (`perceptual.codec.exact`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.codec.card import HIGHEST_LAMBDA, LOWEST_LAMBDA, STEPS, Shape

KNOTS = 9
"""Places on log lambda at which tables have values; between two, they are straight lines."""
UNSHUFFLE, LATENT_STRIDE, STATE_STRIDE, HYPER_STRIDE = 4, 16, 32, 64
ORDER = (0, 3, 1, 2)
"""In step s, group g of the channels shows place g XOR ORDER[s] of each 2x2: the one across first,
which tells most of the other two."""
FAMILY = 4
"""Channels that follow one another and, as the network begins, show one thing at four places."""
OCTAVES, HIGHEST_SIZE, SIZE_SHARE = 7, 4, 8
"""Of `log_size`."""
LEAST_LOG2_SCALE = -3.5
"""In quantisation steps; a value with a smaller scale is the mean but for one time in 10^7."""


def along_rate(log_lambda: Tensor) -> Tensor:
    """(N, KNOTS): the share of each knot at each of (N,) log lambdas; of one or two it is not 0."""
    low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
    at = ((log_lambda - low) / (high - low)).clamp(0, 1) * (KNOTS - 1)
    knots = torch.arange(KNOTS, device=at.device, dtype=at.dtype)
    shares: Tensor = (1 - (at[:, None] - knots).abs()).clamp_min(0)
    return shares


class AlongRate(nn.Module):
    """A value for each channel that depends on lambda: a table over its knots."""

    def __init__(self, channels: int, start: float | Tensor = 0.0) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(KNOTS, channels) + start)

    def forward(self, rate: Tensor) -> Tensor:
        """(N, C, 1, 1) for the shares (N, KNOTS) of the knots."""
        return (rate @ self.table)[:, :, None, None]


class Block(nn.Module):
    """x + gain(lambda) * told * point(relu(conv(seen * x))); it begins as x.

    seen, told : of each channel, constants by which strong and weak ones are seen alike, and steps
        of learning change a weak one as little as it is.
    """

    seen: Tensor
    told: Tensor

    def __init__(self, channels: int, inside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, inside, 3, padding=1)
        self.point = nn.Conv2d(inside, channels, 1)
        self.gain = AlongRate(channels, 1.0)
        self.register_buffer("seen", torch.ones(channels, 1, 1))
        self.register_buffer("told", torch.ones(channels, 1, 1))
        nn.init.zeros_(self.point.weight)
        nn.init.zeros_(self.point.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        inside = functional.conv2d(x, self.conv.weight * self.seen, self.conv.bias, padding=1)
        change = self.point(functional.relu(inside))
        return torch.addcmul(x, (self.gain(rate) * self.told).to(change.dtype), change)


class Blocks(nn.ModuleList):
    """One after the other."""

    def __init__(self, channels: int, count: int, *, inside: int | None = None) -> None:
        super().__init__(Block(channels, inside or channels) for _ in range(count))

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        for block in self:
            x = block(x, rate)
        return x


class Analysis(nn.Module):
    """Pictures to latents: at stride 4, 8 and 16 blocks, and between them linear maps."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 * UNSHUFFLE**2, shape.fine, 1)
        self.fine = Blocks(shape.fine, shape.fine_blocks)
        self.to_middle = nn.Conv2d(4 * shape.fine, shape.middle, 1)
        self.middle = Blocks(shape.middle, shape.middle_blocks)
        self.to_coarse = nn.Conv2d(4 * shape.middle, shape.coarse, 1)
        self.coarse = Blocks(shape.coarse, shape.coarse_blocks, inside=shape.inside_coarse)

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        """(N, coarse, H / 16, W / 16) of (N, 3, H, W) in [-1, 1]."""
        x = self.fine(self.enter(functional.pixel_unshuffle(x, UNSHUFFLE)), rate)
        x = self.middle(self.to_middle(functional.pixel_unshuffle(x, 2)), rate)
        result: Tensor = self.coarse(self.to_coarse(functional.pixel_unshuffle(x, 2)), rate)
        return result


class Synthesis(nn.Module):
    """Latents to pictures, the same way back."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.coarse = Blocks(shape.coarse, shape.coarse_blocks, inside=shape.inside_coarse)
        self.to_middle = nn.Conv2d(shape.coarse, 4 * shape.middle, 1)
        self.middle = Blocks(shape.middle, shape.middle_blocks)
        self.to_fine = nn.Conv2d(shape.middle, 4 * shape.fine, 1)
        self.fine = Blocks(shape.fine, shape.fine_blocks)
        self.leave = nn.Conv2d(shape.fine, 3 * UNSHUFFLE**2, 1)

    def forward(self, y: Tensor, rate: Tensor) -> Tensor:
        """(N, 3, H, W), about [-1, 1], of (N, coarse, H / 16, W / 16)."""
        x = self.to_middle(self.coarse(y, rate))
        x = self.to_fine(self.middle(functional.pixel_shuffle(x, 2), rate))
        x = self.leave(self.fine(functional.pixel_shuffle(x, 2), rate))
        return functional.pixel_shuffle(x, UNSHUFFLE)


class Guide(nn.Module):
    """What a map of how much places count changes before values are rounded; it begins by changing
    nothing, and where the map says nothing, it changes nothing ever.

    It moves the latents, and scales what is left of them after the mean was taken away: below 1,
    more of it is rounded to the mean, which costs no bits. Both are done by the encoder alone. The
    decoder sees values as any other, so files need no map, and one network serves with and without.
    """

    HIDDEN = 32

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(channels + 1, self.HIDDEN, 3, padding=1)
        self.move = nn.Conv2d(self.HIDDEN, channels, 1)
        self.keep = nn.Conv2d(self.HIDDEN, channels, 1)
        for layer in (self.move, self.keep):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, y: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
        """The latents (N, C, h, w), moved, and the scale of what is left.

        importance : (N, 1, h, w), the logarithm of how much errors count; a picture whose map is 0
            everywhere is left alone.
        """
        hidden = functional.relu(self.read(torch.cat([y, importance.to(y.dtype)], 1)))
        is_guided = (importance != 0).flatten(1).any(1)[:, None, None, None]
        keep = self.keep(hidden).float().clamp(-3, 1) * is_guided
        return y + self.move(hidden) * is_guided, keep.exp()


class HyperAnalysis(nn.Module):
    """Whitened latents, and the logarithms of their sizes, to what is told of them first."""

    SMALLEST = 2.0**-5

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.enter = nn.Conv2d(2 * 4 * shape.coarse, shape.state, 1)
        self.conv = nn.Conv2d(shape.state, shape.state, 3, padding=1)
        self.leave = nn.Conv2d(4 * shape.state, shape.hyper, 1)

    def forward(self, y: Tensor) -> Tensor:
        """(N, hyper, H / 64, W / 64)."""
        size = (y.abs() + self.SMALLEST).log2() / 3
        x = functional.pixel_unshuffle(torch.cat([y, size], 1), 2)
        x = functional.relu(self.enter(x))
        x = functional.relu(self.conv(x))
        result: Tensor = self.leave(functional.pixel_unshuffle(x, 2))
        return result


class Residual(nn.Module):
    """x + point(relu(conv(x) + shift(lambda))), without a bias of the convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shift = AlongRate(channels)
        self.point = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.point.weight)
        nn.init.zeros_(self.point.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        change: Tensor = self.point(functional.relu(self.conv(x) + self.shift(rate)))
        return x + change


class HyperSynthesis(nn.Module):
    """Hyper latents to the state from which probabilities are made, at stride 32."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.enter = nn.Conv2d(shape.hyper, shape.state, 3, padding=1)
        self.spread = nn.Conv2d(shape.state, 4 * shape.state, 1)
        self.residual = Residual(shape.state)

    def forward(self, h: Tensor, rate: Tensor) -> Tensor:
        """(N, state, H / 32, W / 32)."""
        x = self.spread(functional.relu(self.enter(h)))
        result: Tensor = self.residual(functional.pixel_shuffle(x, 2), rate)
        return result


def log_size(values: Tensor) -> Tensor:
    """0 at 0; nearly a half more for each octave from 2^-5 to 1; and 3.5 from 4 on.

    Scales depend on the logarithm of what is around. This is one of straight lines, and so exact.
    """
    size = values.abs()
    octaves = [(size * 2**octave).clamp_max(HIGHEST_SIZE) for octave in range(OCTAVES)]
    return torch.stack(octaves).sum(0) / SIZE_SHARE


class Step(nn.Module):
    """One of the four steps of decoding: the state, and what the steps before decoded, to the means
    and scales of the next.

    The state knows what the step before decoded, of all channels together. Of its own family, each
    channel is told directly, of all steps before: that is where it is told most.
    """

    def __init__(self, shape: Shape, number: int) -> None:
        super().__init__()
        self.take = self.near = None
        if number:
            self.take = nn.Conv2d(2 * shape.coarse, shape.state, 1)
            families = shape.coarse // FAMILY
            seen, told = 2 * shape.coarse * number, 2 * shape.coarse
            self.near = nn.Conv2d(seen, told, 3, padding=1, groups=families, bias=False)
            nn.init.zeros_(self.near.weight)
        self.residual = Residual(shape.state)
        self.mix = nn.Conv2d(shape.state, shape.state, 1)
        self.tell = nn.Conv2d(shape.state, 2 * shape.coarse, 1)
        nn.init.zeros_(self.tell.weight)
        nn.init.zeros_(self.tell.bias)  # type: ignore[arg-type]

    def forward(
        self, state: Tensor, decoded: list[Tensor], rate: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """State, means and log2 scales (N, C, H / 32, W / 32), of whitened latents.

        decoded : those of each step before.
        """
        if self.take is not None:
            state = state + self.take(torch.cat([decoded[-1], log_size(decoded[-1])], 1))
        state = self.residual(state, rate)
        mean, log2_scale = self.tell(functional.relu(self.mix(state))).chunk(2, 1)
        if self.near is not None:
            seen = by_families(decoded, log_size)
            near_mean, near_log2_scale = of_families(self.near(seen))
            mean, log2_scale = mean + near_mean, log2_scale + near_log2_scale
        return state, mean, log2_scale


def by_families(decoded: list[Tensor], size_of: Callable[[Tensor], Tensor]) -> Tensor:
    """(..., 2 C s, h, w) of (..., C, h, w) of each of s steps: values and sizes, a family after the
    other."""
    *many, _, height, width = decoded[0].shape
    shown = [part for each in decoded for part in (each, size_of(each))]
    parts = [part.reshape(*many, -1, FAMILY, height, width) for part in shown]
    return torch.cat(parts, -3).flatten(-4, -3)


def of_families(told: Tensor) -> tuple[Tensor, Tensor]:
    """Two of (..., C, h, w), told a family after the other."""
    *many, _, height, width = told.shape
    first, second = told.view(*many, -1, 2, FAMILY, height, width).unbind(-4)
    return first.flatten(-4, -3), second.flatten(-4, -3)


@dataclass(frozen=True)
class Coded:
    """What a batch becomes. picture : (N, 3, H, W), about [0, 1].   bits : (N,), of all values.
    latent_bits : (N, C, H / 32, W / 32) of each step."""

    picture: Tensor
    bits: Tensor
    latent_bits: list[Tensor]


class CodecNetwork(nn.Module):
    """All of it. Pictures are (N, 3, H, W) in [0, 1], H and W multiples of 64."""

    deviation: Tensor
    places: Tensor
    back: Tensor

    def __init__(self, shape: Shape = Shape()) -> None:  # noqa: B008  (frozen)
        super().__init__()
        self.shape = shape
        self.analysis, self.synthesis = Analysis(shape), Synthesis(shape)
        self.guide = Guide(shape.coarse)
        self.hyper_analysis, self.hyper_synthesis = HyperAnalysis(shape), HyperSynthesis(shape)
        self.steps = nn.ModuleList(Step(shape, number) for number in range(STEPS))
        self.log2_step = AlongRate(shape.coarse)
        self.hyper_mean = AlongRate(shape.hyper)
        self.hyper_log2_scale = AlongRate(shape.hyper, 1.0)
        # Of the latents, by which they are divided: so values of all channels are alike.
        self.register_buffer("deviation", torch.ones(shape.coarse))
        places = places_of_steps(shape.coarse)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("back", places.flatten().argsort(), persistent=False)

    def analysed(
        self, pictures: Tensor, rate: Tensor, importance: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Whitened latents (N, C, H / 16, W / 16), float32, and the scale of what is left of them,
        or None for 1.

        importance : (N, 1, H / 16, W / 16), as the guide takes it, or None.
        """
        y, keep = self.analysis(pictures * 2 - 1, rate), None
        if importance is not None:
            y, keep = self.guide(y, importance)
        return y.float() / self.deviation[:, None, None], keep

    def synthesised(self, y: Tensor, rate: Tensor) -> Tensor:
        """Pictures (N, 3, H, W), float32, of whitened latents."""
        picture: Tensor = self.synthesis(y * self.deviation[:, None, None], rate)
        return picture.float() / 2 + 0.5

    def steps_of_rate(self, rate: Tensor) -> Tensor:
        """(N, C, 1, 1): how wide a step of the quantiser is, in whitened latents."""
        return (rate @ self.log2_step.table.exp2())[:, :, None, None]

    def forward(
        self,
        pictures: Tensor,
        rate: Tensor,
        importance: Tensor | None = None,
        *,
        bf16: bool = False,
        is_rounded: bool = False,
        generator: torch.Generator | None = None,
    ) -> Coded:
        """Code and decode, with bits by likelihood.

        In training, the rate is that of values with noise added instead of rounding, and what is
        decoded is rounded, with a gradient as if it were not. is_rounded : the rate is that of
        rounded values, too, as it is of files.
        """
        where = pictures.device.type
        with torch.autocast(where, torch.bfloat16, enabled=bf16):
            y, keep = self.analysed(pictures, rate, importance)
        h = self.hyper_analysis(y)
        h_mean, h_log2_scale = self.hyper_mean(rate), self.hyper_log2_scale(rate)

        def shown(values: Tensor) -> Tensor:
            return values.round() if is_rounded else _noisy(values, generator)

        h_bits = bits_of(shown(h - h_mean), h_log2_scale)
        state = self.hyper_synthesis(_rounded(h - h_mean) + h_mean, rate)

        parts = self.split(y)
        kept = None if keep is None else self.split(keep)
        width, log2_width = self.steps_of_rate(rate), self.log2_step(rate)
        decoded: list[Tensor] = []
        latent_bits: list[Tensor] = []
        for s, step in enumerate(self.steps):
            state, mean, log2_scale = step(state, decoded, rate)
            left = (parts[s] - mean) / width
            if kept is not None:
                left = left * kept[s]
            latent_bits.append(bits_of(shown(left), log2_scale - log2_width))
            decoded.append(mean + width * _rounded(left))
        with torch.autocast(where, torch.bfloat16, enabled=bf16):
            picture = self.synthesised(self.join(decoded), rate)
        bits = h_bits.sum((1, 2, 3)) + sum(each.sum((1, 2, 3)) for each in latent_bits)
        return Coded(picture, bits, latent_bits)

    def split(self, y: Tensor) -> list[Tensor]:
        """The part of each step, (N, C, h / 2, w / 2), of (N, C, h, w)."""
        beside = functional.pixel_unshuffle(y, 2)
        return [beside[:, places] for places in self.places]

    def join(self, parts: list[Tensor]) -> Tensor:
        """What `split` took apart."""
        return functional.pixel_shuffle(torch.cat(parts, 1)[:, self.back], 2)


def places_of_steps(channels: int) -> Tensor:
    """(STEPS, C): where among the 4 C channels of an unshuffled picture each step's values are.

    Channels are dealt to the four groups in turn, so that each has some of the strong ones.
    """
    channel = torch.arange(channels)
    return torch.stack([channel * 4 + ((channel % 4) ^ across) for across in ORDER])


def bits_of(values: Tensor, log2_scale: Tensor) -> Tensor:
    """-log2 of the probability that a normal value around 0, rounded, is each of these.

    values, log2_scale : in steps of the quantiser; scales below LEAST_LOG2_SCALE count as that.
    """
    scale = _AtLeast.apply(log2_scale, LEAST_LOG2_SCALE).exp2()  # type: ignore[no-untyped-call]
    # Of the side below 0, where float32 has all its digits.
    away = values.abs()
    upper: Tensor = torch.special.ndtr((0.5 - away) / scale)
    lower: Tensor = torch.special.ndtr((-0.5 - away) / scale)
    return -(upper - lower).clamp_min(1e-9).log2()


class _AtLeast(torch.autograd.Function):
    """max(x, least), with a gradient below it where that leads up (Ballé et al. 2018)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float) -> Tensor:
        ctx.save_for_backward(x >= least)
        return x.clamp_min(least)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * (inside | (gradients[0] < 0)), None


def _noisy(values: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = torch.empty_like(values).uniform_(-0.5, 0.5, generator=generator)
    return values + noise


def _rounded(values: Tensor) -> Tensor:
    return values + (values.round() - values).detach()
