"""Training LPIPS-Comp."""

from perceptual.training.settings import (
    LINEAR,
    SCRATCH,
    TUNED,
    VARIANTS,
    CannotTrain,
    Epoch,
    Progress,
    Settings,
)
from perceptual.training.train_metric import Trained, split, train

__all__ = [
    "LINEAR",
    "SCRATCH",
    "TUNED",
    "VARIANTS",
    "CannotTrain",
    "Epoch",
    "Progress",
    "Settings",
    "Trained",
    "split",
    "train",
]
