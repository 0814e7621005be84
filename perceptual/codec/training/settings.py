"""How the codec is trained, and how far a training is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SMALLEST_CROP = 64


class CannotTrain(ValueError):
    """There is too little to train on, or the settings ask for what there is not."""


@dataclass(frozen=True)
class Objective:
    """What counts as distortion, beside 255^2 MSE, and where.

    metric : of `perceptual.metric`, whose distance counts `metric_weight` times; "" for none.
    ms_ssim_weight : of 1 - MS-SSIM.   charbonnier_weight : of the
        mean of 255 (sqrt(error^2 + 10^-6) - 10^-3).
    saliency : the file of a network that finds salient objects, or "" for none. With it, errors
        count by how salient their place is, and the encoder is told (`network.Guide`).
    saliency_floor : how much errors count where nothing is salient, against 1 where all is; the
        mean over each picture is always 1.
    """

    mse_weight: float = 1.0
    metric: str = ""
    metric_weight: float = 0.0
    ms_ssim_weight: float = 0.0
    charbonnier_weight: float = 0.0
    saliency: str = ""
    saliency_floor: float = 0.3

    def __post_init__(self) -> None:
        weights = (
            self.mse_weight,
            self.metric_weight,
            self.ms_ssim_weight,
            self.charbonnier_weight,
        )
        if min(weights) < 0 or max(weights) <= 0:
            raise CannotTrain("weights of distortions must be 0 or more, and one above 0")
        if bool(self.metric) != bool(self.metric_weight):
            raise CannotTrain("a metric needs a weight above 0, and a weight needs a metric")
        if not 0 < self.saliency_floor <= 1:
            raise CannotTrain("what is not salient must count above 0 and at most 1")


@dataclass(frozen=True)
class Settings:
    """How the codec is trained.

    steps : at which it stops; a finished training goes on when called again with more.
    batch : crops a step, of all processes together.   crop : their side in pixels.
    warm_up : steps in which the learning rate rises to `learning_rate`, where it stays but for the
        last `cool_down` steps before `steps`, in which it falls to nothing.
    longest_gradient : what is longer is shortened to it; ordinary ones are not.
    averaged_over : steps over which weights are averaged (exponentially); the average is the codec.
    held_out : pictures of the folder that are only watched.
    """

    objective: Objective = Objective()
    seed: int = 0
    steps: int = 1_000_000
    batch: int = 8
    crop: int = 128
    learning_rate: float = 5e-4
    warm_up: int = 1000
    cool_down: int = 0
    averaged_over: int = 2000
    longest_gradient: float = 50.0
    bf16: bool = True
    held_out: int = 8
    watched_every: int = 2000

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "held_out", "averaged_over", "watched_every"):
            if getattr(self, name) < 1:
                raise CannotTrain(f"{name} must be at least 1")
        if self.crop < SMALLEST_CROP or self.crop % SMALLEST_CROP:
            raise CannotTrain(f"crops must be a multiple of {SMALLEST_CROP} pixels wide")


@dataclass(frozen=True)
class Watched:
    """What the averaged weights reach on the pictures held out, at one lambda: bits per pixel by
    likelihood, and PSNR of the mean squared error over all of them."""

    price: float
    bpp: float
    psnr: float


@dataclass(frozen=True)
class Progress:
    """How far it is: means over the steps since it was last told.

    loss : of the objective, divided by sqrt(lambda).   bpp, psnr : over crops at all rates.
    """

    step: int
    steps: int
    loss: float
    bpp: float
    psnr: float
    gradient: float
    steps_per_s: float
    watched: tuple[Watched, ...] = ()


@dataclass(frozen=True)
class Data:
    """What a training sees.

    folders : their names alone.   pictures : how many it trains on.   held_out : names of those
        that are only watched.   digest : of the pixels it trains on (`pictures.digest_of`).
    """

    folders: tuple[str, ...]
    pictures: int
    held_out: tuple[str, ...]
    digest: str


Tell = Callable[[Progress], None]
Begun = Callable[[Data, int], None]
