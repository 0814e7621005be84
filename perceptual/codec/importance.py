"""From a map of saliency to how much errors count at each place of a picture."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from perceptual.codec.network import LATENT_STRIDE


def weights_of(saliency: Tensor, floor: float, mean: Tensor | None = None) -> Tensor:
    """(N, 1, H, W): how much errors count: from `floor`, where a map (N, 1, H, W) is 0, to 1, both
    divided by their mean over the picture.

    mean : (N,), of the maps of the pictures that these are parts of; None: they are whole.
    """
    over = saliency.mean((1, 2, 3)) if mean is None else mean
    return (floor + (1 - floor) * saliency) / (floor + (1 - floor) * over)[:, None, None, None]


def importance_of(weights: Tensor) -> Tensor:
    """(N, 1, H / 16, W / 16): what the encoder is told of weights (N, 1, H, W)."""
    return functional.avg_pool2d(weights, LATENT_STRIDE).log()
