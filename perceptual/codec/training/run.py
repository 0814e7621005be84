"""Steps of a training, from its last checkpoint or from the start, to the end."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from perceptual.codec.beginning import begin, begin_probabilities
from perceptual.codec.card import HIGHEST_LAMBDA, LOWEST_LAMBDA, Shape
from perceptual.codec.importance import importance_of, weights_of
from perceptual.codec.network import HYPER_STRIDE, CodecNetwork, along_rate
from perceptual.codec.training.flat import Flat
from perceptual.codec.training.held_out_pictures import (
    MOST_PICTURES,
    Pixels,
    Reconstruction,
    middle,
)
from perceptual.codec.training.objective import terms_of
from perceptual.codec.training.optimiser import Optimiser, kind_of
from perceptual.codec.training.pictures import Photographs
from perceptual.codec.training.settings import Progress, Settings, Tell, Watched
from perceptual.metric import Metric
from perceptual.training import checkpoints, distributed

FORMAT = 2
"""Of checkpoints."""
SAVED_EVERY_S = 180.0
TOLD_EVERY = 100
BEGUN_FROM = 800
"""Crops from which the network begins."""
WATCHED_PRICES = (0.0013, 0.0045, 0.0125, 0.035, 0.1)
GUIDED = 0.8
"""Share of crops whose map of saliency counts, where there are maps: the codec must do without."""
SEED_STEP, MOST_PROCESSES = 2**40, 2**12


Keep = Callable[[CodecNetwork, int], None]


@dataclass(frozen=True)
class Seen:
    """A picture held out, as it was watched.

    parts : what is shown of the original, then of each reconstruction.
    """

    parts: list[Pixels]
    reconstructions: list[Reconstruction]


Show = Callable[[int, list[Seen]], None]


class Stopped(Exception):
    """The training was asked to stop, and its checkpoint is written."""


class Run:
    """A training. What `checkpoint` holds goes on, if it is of the same network and seed; settings
    of what counts, and for how long, may have changed since."""

    def __init__(
        self,
        settings: Settings,
        train: Sequence[Tensor],
        watched: Sequence[Tensor],
        checkpoint: Path,
        *,
        shape: Shape = Shape(),  # noqa: B008
        start: dict[str, Tensor] | None = None,
        metric: Metric | None = None,
        keep: Keep = lambda network, step: None,
        show: Show = lambda step, seen: None,
    ) -> None:
        self.settings = settings
        self.metric = metric
        self.keep = keep
        self.show = show
        self.checkpoint = checkpoint
        self.photographs = Photographs(train, settings.crop)
        self.watched = watched
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.network = CodecNetwork(shape)
        saved = checkpoints.read(checkpoint, self.identity(), device="cpu")
        if saved:
            self.network.load_state_dict(saved["network"])
        elif start:
            self.network.load_state_dict(start)
        else:
            chance = torch.Generator().manual_seed(settings.seed)
            side = settings.crop // 2
            crops, _ = self.photographs.draw(BEGUN_FROM, chance)
            begin(self.network, crops[:, :3, :side, :side], seed=settings.seed)
            begin_probabilities(self.network, crops[:, :3], seed=settings.seed)
        self.where = distributed.device()
        self.network.to(self.where)
        self.flat = Flat(self.network, kind_of)
        self.average = self.flat.values.clone()
        self.optimiser = Optimiser(self.flat)
        self.step = 0
        self.is_to_stop = False
        if saved:
            self.average.copy_(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]

    def until_done(self, tell: Tell) -> CodecNetwork:
        """Train to the end; returns the network with the averaged weights.

        Raises Stopped, between two steps, once `is_to_stop` is set.
        """
        saved_at = told_at = time.monotonic()
        seen = torch.zeros(4, device=self.where)
        count = 0
        while self.step < self.settings.steps:
            seen += self._one()
            count += 1
            now = time.monotonic()
            is_last = self.step == self.settings.steps
            looks = self.step % self.settings.watched_every == 0 or is_last
            if self.step % TOLD_EVERY == 0 or looks or self.is_to_stop:
                watched = self._watch() if looks and distributed.is_first() else ()
                loss, bpp, mse, length = (seen / count).tolist()
                psnr = _psnr(mse)
                speed = count / max(now - told_at, 1e-9)
                tell(
                    Progress(
                        *(self.step, self.settings.steps, loss, bpp, psnr, length, speed, watched)
                    )
                )
                seen.zero_()
                count, told_at = 0, time.monotonic()
            if now - saved_at > SAVED_EVERY_S or is_last or self.is_to_stop:
                self._save()
                saved_at = now
            if (looks or self.is_to_stop) and distributed.is_first():
                with self._averaged():
                    self.keep(self.network, self.step)
            if self.is_to_stop and not is_last:
                raise Stopped
        with torch.no_grad():
            self.flat.values.copy_(self.average)
        return self.network.eval().requires_grad_(False)

    def _one(self) -> Tensor:
        """One step; returns the means of loss, bits per pixel, squared error, and the gradient's
        length."""
        settings = self.settings
        # Seeded by the step: after a kill it goes on as it would have.
        base = settings.seed * SEED_STEP + self.step * MOST_PROCESSES + distributed.rank()
        chance = torch.Generator().manual_seed(base)
        noise = torch.Generator(self.where).manual_seed(base)
        share = settings.batch // distributed.count()
        drawn, mean = (each.to(self.where) for each in self.photographs.draw(share, chance))
        pictures, weights, told = drawn[:, :3], None, None
        if settings.objective.saliency:
            weights = weights_of(drawn[:, 3:], settings.objective.saliency_floor, mean)
            is_guided = torch.rand(share, generator=chance) < GUIDED
            weights = weights.where(is_guided.to(self.where)[:, None, None, None], 1.0)
            told = importance_of(weights)
        prices = self._prices(share, chance).to(self.where)
        self.flat.gradient.zero_()
        coded = self.network(
            pictures,
            along_rate(prices.log()),
            told,
            bf16=settings.bf16,
            generator=noise,
        )
        terms = terms_of(settings.objective, coded, pictures, prices, self.metric, weights)
        terms.loss.mean().backward()  # type: ignore[no-untyped-call]
        self.flat.average()
        length = self.flat.shorten(settings.longest_gradient)
        self.optimiser.step(self._learning_rate())
        self.step += 1
        with torch.no_grad():
            over = min(settings.averaged_over, 10 + self.step / 5)
            self.average.lerp_(self.flat.values, 1 / over)
            return torch.stack(
                [terms.loss.mean(), terms.bpp.mean(), terms.mse.mean(), length]
            ).detach()

    def _prices(self, count: int, chance: torch.Generator) -> Tensor:
        """(count,) lambdas, one in each of as many equal parts of log lambda as the batch has; each
        process has other parts."""
        whole = count * distributed.count()
        part = torch.arange(count) * distributed.count() + distributed.rank()
        at = (part + torch.rand(count, generator=chance)) / whole
        low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
        return (low + (high - low) * at).exp()

    def _learning_rate(self) -> float:
        settings = self.settings
        rises = min(1.0, (self.step + 1) / max(settings.warm_up, 1))
        left = settings.steps - self.step
        falls = min(1.0, left / settings.cool_down) if settings.cool_down else 1.0
        return settings.learning_rate * rises * falls

    @torch.no_grad()
    def _watch(self) -> tuple[Watched, ...]:
        """What the averaged weights reach on what is held out."""
        seen = [
            Seen([middle(_pixels(each[None, :3] / 255))], [])
            for each in self.watched[:MOST_PICTURES]
        ]
        with self._averaged():
            watched = tuple(self._watched_at(price, seen) for price in WATCHED_PRICES)
        self.show(self.step, seen)
        return watched

    def _watched_at(self, price: float, seen: Sequence[Seen]) -> Watched:
        """What is reached at a lambda; adds to `seen` what the first pictures become."""
        rate = along_rate(torch.tensor([math.log(price)], device=self.where))
        bits = squares = samples = 0.0
        for number, stored in enumerate(self.watched):
            picture = stored[None, :3].to(self.where, torch.float32) / 255
            whole = _to_multiple(picture)
            coded = self.network(whole, rate, bf16=self.settings.bf16, is_rounded=True)
            height, width = picture.shape[2:]
            shown = coded.picture[:, :, :height, :width].clamp(0, 1)
            own_bits = float(coded.bits.sum())
            own_squares = float((shown - picture).square().sum())
            if number < len(seen):
                bpp, psnr = own_bits / (height * width), _psnr(own_squares / picture.numel())
                seen[number].parts.append(middle(_pixels(shown)))
                seen[number].reconstructions.append(Reconstruction(price, bpp, psnr))
            bits += own_bits
            squares += own_squares
            samples += picture.numel()
        return Watched(price, bits / (samples / 3), _psnr(squares / samples))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        now = self.flat.values.clone()
        self.flat.values.copy_(self.average)
        try:
            yield
        finally:
            self.flat.values.copy_(now)

    # --- checkpoints ---

    def identity(self) -> str:
        """What must be the same for a checkpoint to go on."""
        told = [FORMAT, asdict(self.network.shape), self.settings.seed]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _save(self) -> None:
        if not distributed.is_first():
            return
        checkpoints.save(
            self.checkpoint,
            self.identity(),
            {
                "network": self.network.state_dict(),
                "average": self.average,
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
            },
        )


def _psnr(mse: float) -> float:
    """In dB, of squared errors of samples in [0, 1]."""
    return -10 * math.log10(max(mse, 1e-12))


def _pixels(picture: Tensor) -> Pixels:
    """(H, W, 3) uint8 of (1, 3, H, W) in [0, 1]."""
    samples = (picture[0] * 255).round().to("cpu", torch.uint8)
    return np.ascontiguousarray(samples.permute(1, 2, 0).numpy())


def _to_multiple(pictures: Tensor) -> Tensor:
    """Continued by their last row and column to multiples of 64."""
    below, beside = (-side % HYPER_STRIDE for side in pictures.shape[2:])
    return functional.pad(pictures, (0, beside, 0, below), mode="replicate")
