"""How a metric is trained, and how far a training is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LINEAR, TUNED, SCRATCH = VARIANTS = ("linear", "tuned", "scratch")


class CannotTrain(ValueError):
    """There is too little to train on, or the settings ask for what there is not."""


@dataclass(frozen=True)
class Settings:
    """How a metric is trained.

    variant : "linear", "tuned" or "scratch".   with_psnr : a component more, of pixel error.
    epochs : at most.   patience : epochs without a better cross-entropy on what is watched, after
        which it stops.   batch : pairs a step.   dropout : of components, while training.
    decay : how many votes it takes to outweigh that layers, and channels of a layer, began alike.
    crop : side of the parts that the variants which see pictures are trained on, in pixels.
    """

    backbone: str = "efficientnet-lite0"
    backbone_weights: str = ""
    variant: str = LINEAR
    with_psnr: bool = True
    seed: int = 0
    epochs: int = 300
    patience: int = 40
    batch: int = 64
    learning_rate: float = 1e-2
    dropout: float = 0.3
    decay: float = 100.0
    crop: int = 192

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise CannotTrain(f"there is no variant {self.variant!r}: {', '.join(VARIANTS)}")
        for name in ("epochs", "patience", "batch", "crop"):
            if getattr(self, name) < 1:
                raise CannotTrain(f"{name} must be at least 1")


@dataclass(frozen=True)
class Epoch:
    """One pass over what is fitted: mean cross-entropy in nats of it and of what is watched, and
    the 2AFC score, from 0 to 1, of what is watched."""

    number: int
    loss: float
    watched_loss: float
    watched_score: float


@dataclass(frozen=True)
class Progress:
    """How far it is. stage : "features" (done and total are pictures) or "epochs"."""

    stage: str
    done: int
    total: int
    epoch: Epoch | None = None
    seconds_left: float | None = None


Tell = Callable[[Progress], None]
