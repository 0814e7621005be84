"""Pictures to measure, and the metrics to measure them with."""

import pytest
import torch
from torch import nn

from perceptual.backbones import load_backbone
from perceptual.dists import Dists
from perceptual.metric import Metric, MetricUnavailable

SIDE = 176


def make(name: str) -> Metric:
    if name == "dists":  # its laws hold whatever the weights of the network
        return Dists(load_backbone("vgg16", "random"))
    try:
        return Metric.load(name)
    except MetricUnavailable as error:
        pytest.skip(str(error))


def scenes(n: int, *, side: int = SIDE, seed: int = 0) -> torch.Tensor:
    """Smooth pictures with edges, of 8 bits a sample."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 12, 12, generator=generator)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    smooth[..., : side // 2] += 0.2
    return (smooth.clamp(0.1, 0.9) * 255).round() / 255


def noisy(pictures: torch.Tensor, amount: float, *, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(seed))
    return ((pictures + amount * noise).clamp(0, 1) * 255).round() / 255
